-- In a cluster, what `write.lua` does in the slot of the session. What it does in the slot of the user's
-- index is done by `apart_enter.lua` before, and by `apart_settle.lua` or `apart_forget.lua` after.
--
-- KEYS: as `write.lua`; both sessions are in one bucket. ARGV: the permit of `apart_enter.lua` with its user,
-- or ''; then as `write.lua`; a user has a bucket behind its digest if that is not the session's.
-- Returns what `write.lua` returns, but for `ended`: the user to whom the session was bound; or
--       {10, user, when it ends, as `apart_enter.lua` takes it}: the user's index must name it first.
local permit = table.remove(ARGV, 1)
include 'session'
include 'keys'
include 'answered'
include 'begun'

local placing = finish == 'bind' or moved
local digest = finish == 'bind' and target
local user, bound = '', false
if not creating and (finish ~= '' or limits) then user, bound = user_of(key) end
local left = bound and finish ~= '' and {bound} or {}
if finish == 'end' then
  bury(key, target)
  answer = {0, 0, birth, results, left, own or '', user}
  record(answer)
  return answer
end
-- A revocation also ends the sessions that the index names and that are not there yet.
local met = moved and redis.call('HGET', moved, '\0t')
if met then return {2, met} end

include 'reborn'
local owner = digest or (finish ~= 'unbind' and bound)
if owner and (placing or limits) then
  local lease, lives = tonumber(string.sub(permit, 1, 13)) or 0, tonumber(string.sub(permit, 14, 26))
  -- A session is bound when the index says so, so that both have the same end.
  local bound_at = tonumber(string.sub(permit, 27, 39)) or now
  if digest then birth = born(bound_at) end
  local ends_at = end_of(birth)
  if string.sub(permit, 40) ~= owner or now > lease or (lives > 0 and (ends_at == 0 or ends_at > lives)) then
    if not digest then return {10, owner, digits(ends_at)} end
    return {10, owner, '+' .. digits(ends_at > 0 and ends_at - bound_at or 0)}
  end
end
include 'applied'
if placing then
  if finish == 'unbind' then redis.call('HDEL', key, '\0u', '\0n', '\0l') end
  if moved then
    redis.call('RENAME', key, moved)
    bury(key, 'rotated')
    key = moved
  end
end
if digest then
  redis.call('HSET', key, '\0s', digits(now), '\0u', digest, '\0n', digest .. user_name, '\0l', label)
  redis.call('PEXPIRE', key, ttl_for(idle, birth, now))
  slid = 1
end

answer = {0, slid, birth, results, left, own or '', user}
record(answer)
if load then answer[8] = redis.call('HGETALL', key) end
return answer
