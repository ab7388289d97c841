-- KEYS: a user's index. Returns {name, value, '1' if the session may still come, ...}.
include 'session'
include 'keys'
include 'apart'
redis.call('HDEL', KEYS[1], '') -- refused by a server that is no longer the primary
local now, entries, found = now_ms(), redis.call('HGETALL', KEYS[1]), {}
for i = 1, #entries, 2 do
  if is_entry(entries[i]) then
    found[#found + 1] = entries[i]
    found[#found + 1] = entries[i + 1]
    found[#found + 1] = may_come(entries[i + 1], now) and '1' or ''
  end
end
return found
