-- KEYS: a user's index. ARGV: session prefix. Returns {name, birth, seen, label, ...} of the living.
local index, prefix = KEYS[1], ARGV[1]
local now = now_ms()
local listed, entries = {}, redis.call('HKEYS', index)
for _, name in ipairs(entries) do
  if string.sub(name, 1, 1) ~= '\0' then
    local birth, seen = inspect(prefix .. name, now)
    if birth and birth ~= '' then
      listed[#listed + 1] = name
      listed[#listed + 1] = birth
      listed[#listed + 1] = seen or ''
      listed[#listed + 1] = redis.call('HGET', prefix .. name, '\0l') or ''
    else
      redis.call('HDEL', index, name)
    end
  end
end
return listed
