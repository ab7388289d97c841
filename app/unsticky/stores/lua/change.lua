-- `write.lua` where nothing begins or ends, which is almost always: the changes alone.
--
-- KEYS: session, where the operation's result is kept. ARGV: idle, most fields, most bytes, load, how
--       long the result is kept (ms); then the changes.
-- Returns as `write.lua` does.
local key, operation = KEYS[1], KEYS[2]
local CHUNK = 4000
local at, creating = 6, false
include 'parsed'
include 'now'
local current = redis.pcall('HMGET', key, unpack(names, 1, math.min(#names, CHUNK)))
if current.err then return string.find(current.err, 'WRONGTYPE', 1, true) and {9} or current end
local birth, seen, own = current[1], current[2], current[3]
if current[4] then
  -- What was emptied may begin again, where the same must not be applied a second time.
  local before = current[4] == 'emptied' and redis.call('GET', operation)
  if not before then return {2, current[4]} end
  include 'answered'
  local answer = unpacked(before)
  if ARGV[4] == '1' then answer[8] = {} end
  return answer
end
if not birth then return {1} end
include 'judged'
include 'answered'
local before, answer = redis.call('GET', operation)
if before then
  answer = unpacked(before)
  answer[3], answer[6] = birth, own or ''
else
  include 'checked'
  -- An HSET comes first: a full server refuses it, and nothing has changed.
  in_parts('HSET', key, sets)
  in_parts('HDEL', key, deletes)
  answer = {0, 0, birth, results, {}, own or '', ''}
end
-- Of one that is repeated hours later, this is a use of its own.
local slides = seen or not before
include 'slid'
if slid == 1 then answer[2] = 1 end
-- pcall: on a full server this must not take back what happened.
if not before then redis.pcall('SET', operation, packed(answer), 'PX', ARGV[5]) end
if ARGV[4] == '1' then answer[8] = redis.call('HGETALL', key) end
return answer
