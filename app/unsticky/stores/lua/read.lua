-- KEYS: session. ARGV: idle, step. Returns {0, slid, fields} | {1} missing | {2, kind} gone | {6, version}
--       | {9} unreadable.
local key = KEYS[1]
-- Changes nothing, and is a write: a server that is no longer the primary refuses it here, where a
-- plain read would answer from the past.
local asked = redis.pcall('HDEL', key, '')
if wrong_type(asked) then return {9} end
if type(asked) == 'table' then return asked end
local now = now_ms()
-- One HGETALL, searched here, costs less than asking for the reserved fields first.
local fields = redis.call('HGETALL', key)
local birth, seen
for i = 1, #fields, 2 do
  local name = fields[i]
  if name == '\0m' then birth = fields[i + 1]
  elseif name == '\0s' then seen = fields[i + 1]
  elseif name == '\0t' then return {2, fields[i + 1]} end
end
if birth and unreadable(birth, seen) then return {9} end
if not birth or is_past(birth, now) then return {1} end
if string.sub(birth, 1, 1) ~= VERSION then return {6, string.sub(birth, 1, 1)} end
return {0, slide(key, birth, seen, now, tonumber(ARGV[1]), tonumber(ARGV[2])), fields}
