-- KEYS: session. ARGV: idle, unused, whether to slide. Returns {0, slid, fields} | {1} missing | {2, kind} gone
--       | {6, version} | {9} unreadable.
local key = KEYS[1]
-- A write that changes nothing: a server that is no longer the primary refuses it, but would answer a
-- plain read with old data.
local asked = redis.pcall('HDEL', key, '')
if type(asked) == 'table' then
  return string.find(asked.err, 'WRONGTYPE', 1, true) and {9} or asked
end
include 'now'
-- One HGETALL, searched here, is faster than to load the reserved fields first.
local fields = redis.call('HGETALL', key)
local birth, seen, own
for i = 1, #fields, 2 do
  local name = fields[i]
  if name == '\0m' then birth = fields[i + 1]
  elseif name == '\0s' then seen = fields[i + 1]
  elseif name == '\0i' then own = fields[i + 1]
  elseif name == '\0t' then return {2, fields[i + 1]} end
end
if not birth then return {1} end
include 'judged'
local slides, unused = ARGV[3] ~= '', tonumber(ARGV[2])
include 'slid'
return {0, slid, fields}
