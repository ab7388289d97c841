-- A short `write.lua` for writes that neither create nor end nor bind a session: almost all of them.
--
-- KEYS: session, key of the operation's result. ARGV: idle, most fields, most bytes, load, how long the
--       result is kept (ms), unused; then the changes.
-- Returns what `write.lua` returns.
local key, operation = KEYS[1], KEYS[2]
local CHUNK = 4000
local at, creating = 7, false
include 'parsed'
include 'now'
local current = redis.pcall('HMGET', key, unpack(names, 1, math.min(#names, CHUNK)))
if current.err then return string.find(current.err, 'WRONGTYPE', 1, true) and {9} or current end
local birth, seen, own = current[1], current[2], current[3]
if current[4] then
  -- An emptied session may begin again; then the operation must not be applied twice.
  local before = redis.call('GET', operation)
  if not before then return {2, current[4]} end
  if current[4] ~= 'emptied' then return {2, current[4], 1} end
  include 'answered'
  local answer = unpacked(before)
  include 'resent'
  if ARGV[4] == '1' then answer[8] = {} end
  return answer
end
if not birth then return {1} end
include 'judged'
include 'answered'
local before, answer = redis.call('GET', operation)
if before then
  answer = unpacked(before)
  include 'resent'
  answer[3], answer[6] = birth, own or ''
else
  include 'checked'
  -- HSET comes first: if a full server refuses it, nothing has changed.
  in_parts('HSET', key, sets)
  in_parts('HDEL', key, deletes)
  answer = {0, 0, birth, results, {}, own or '', ''}
end
-- Hours later, a resend is another use.
local slides, unused = seen or not before, tonumber(ARGV[6])
include 'slid'
if slid == 1 then answer[2] = 1 end
-- pcall: an error of a full server must not hide that the changes were made.
if not before then redis.pcall('SET', operation, packed(answer), 'PX', ARGV[5]) end
if ARGV[4] == '1' then answer[8] = redis.call('HGETALL', key) end
return answer
