-- Before a session is bound, or a bound one gets a new reference or a later end: its user's index must
-- name it, and live as long as it.
--
-- KEYS: a user's index [, key of `apart_settle.lua`]. ARGV: entry, entry of the session that it follows or
--       '', stamp or '', and when the session ends: its time (0: never), or '+' and how long after it is
--       bound, which is now (0: never).
-- Returns {0, permit: until when the session may come, until when the index lives (0: for ever), now,
--       value of the entry if this call made it, or ''}
--       | {2, 'revoked'} the session is to end | {8, stamp}
include 'session'
include 'keys'
include 'apart'
local index, entry, before, stamp, ends = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, had = now_ms(), redis.call('PTTL', index)
local found = redis.call('HMGET', index, '\0v', entry, before)
local least, there, followed = found[1], found[2], found[3]
if stamp ~= '' and least and is_below(stamp, least) then return {8, least} end
if is_ending(there) or is_ending(followed) then return {2, 'revoked'} end
local bound = string.sub(ends, 1, 1) == '+'
local ends_at = tonumber(bound and string.sub(ends, 2) or ends)
if bound and ends_at > 0 then ends_at = ends_at + now end
-- What is awaited and gets neither a user nor a reference is there: its entry says what it follows.
local made = ''
if not there or (is_awaited(there) and (bound or before ~= '')) then
  local order = bound and digits(now) or before .. (followed and order_of(followed) or digits(now))
  local value = 'p' .. digits(now + LEASE_MS) .. order
  redis.call('HSET', index, entry, value)
  if not there then made = value end
end
keep_index(index, had, ends_at, now)
local lives = had ~= -1 and ends_at > 0 and math.max(ends_at, now + had) or 0
return {0, digits(now + LEASE_MS) .. digits(lives) .. digits(now), made}
