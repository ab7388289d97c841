-- KEYS: session. ARGV: idle, step. Returns {0, slid, fields} | {1} missing | {2, kind} gone | {6, version}.
local key = KEYS[1]
-- Changes nothing, and is a write: a server that is no longer the primary refuses it here, where a
-- plain read would answer from the past.
redis.call('HDEL', key, '')
local now = now_ms()
local birth, seen = inspect(key, now)
if not birth then
  if seen then return {2, seen} end
  return {1}
end
if string.sub(birth, 1, 1) ~= VERSION then return {6, string.sub(birth, 1, 1)} end
local slid = slide(key, birth, seen, now, tonumber(ARGV[1]), tonumber(ARGV[2]))
return {0, slid, redis.call('HGETALL', key)}
