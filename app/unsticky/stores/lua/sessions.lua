-- KEYS: a user's index. ARGV: session prefix. Returns {name, birth, seen, own limits, label, ...} of
-- the living sessions.
include 'session'
include 'keys'
local index, prefix = KEYS[1], ARGV[1]
local digest, now = name_in(index), now_ms()
redis.call('HDEL', index, '') -- refused by a server that is no longer the primary
local listed, entries = {}, redis.call('HKEYS', index)
for _, name in ipairs(entries) do
  if string.sub(name, 1, 1) ~= '\0' then
    local birth, seen, own = inspect(prefix .. name, now)
    local held = birth and birth ~= '' and redis.call('HMGET', prefix .. name, '\0u', '\0l')
    -- Another session may have begun under the name of an expired one of this user.
    if held and held[1] == digest then
      for _, value in ipairs({name, birth, seen or '', own or '', held[2] or ''}) do
        listed[#listed + 1] = value
      end
    else
      redis.call('HDEL', index, name)
    end
  end
end
return listed
