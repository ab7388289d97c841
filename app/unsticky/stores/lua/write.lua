-- Applies changes and a finish, or nothing. All is checked before the first write, because a script
-- does not roll back.
--
-- KEYS: session, key of the operation's result [, new session].
-- ARGV: the six of `change.lua`; absolute (0: none), nonce ('' unless creating), how the result
--       is kept ('' in a separate key; 'make' likewise, for a session that is made once; otherwise the
--       field of the session's results), finish: '', 'end' and its kind, 'move', 'unbind' (a move),
--       or 'bind' and user's digest, stamp, label, most sessions, user's name; then the changes.
-- Returns {0, slid, birth, results, ended, own limits, user [, fields]} | {1} missing
--       | {2, kind [, 1: had been applied before]} gone | {3, field, current or nil, ...} conflict | {4, field, current} out of range
--       | {5, what, size, limit} too large | {6, version} | {7, field} not a counter | {8, stamp}
--       | {9} unreadable.
include 'session'
include 'keys'
include 'answered'
include 'begun'

-- Check the finish; carry it out if it ends the session.
local placing = finish == 'bind' or moved
local digest = finish == 'bind' and target
local index = digest and beside(moved or key, 'u', digest)
if digest and stamp ~= '' then
  local least = redis.call('HGET', index, '\0v')
  if least and is_below(stamp, least) then return {8, least} end
end
local user, bound = '', false
if not creating and (finish ~= '' or limits) then user, bound = user_of(key) end
if finish == 'end' then
  bury(key, target)
  if bound then redis.call('HDEL', beside(key, 'u', bound), name_in(key)) end
  answer = {0, 0, birth, results, {}, own or '', user}
  record(answer)
  return answer
end

include 'reborn'
include 'applied'
local ended = {}
if placing then
  local mine = name_in(key)
  if finish == 'unbind' then redis.call('HDEL', key, '\0u', '\0n', '\0l') end
  if moved then
    redis.call('RENAME', key, moved)
    bury(key, 'rotated')
    key = moved
  end
  if bound then
    local old = beside(KEYS[1], 'u', bound)
    if finish == 'move' then
      -- Added before the old entry is removed: an index without entries would lose its expiry.
      local had = redis.call('PTTL', old)
      redis.call('HSET', old, name_in(key), digits(created_of(birth)))
      keep_index(old, had, end_of(birth), now)
    end
    redis.call('HDEL', old, mine)
  end
elseif limits and bound then
  local old = beside(key, 'u', bound)
  keep_index(old, redis.call('PTTL', old), end_of(birth), now)
end
if digest then
  -- Remove entries without a session; end those beyond the limit, first the past, then the oldest; add.
  local had, until_ = redis.call('PTTL', index), end_of(birth)
  local entries, living, prefix = redis.call('HGETALL', index), {}, string.sub(key, 1, -23)
  for i = 1, #entries, 2 do
    local name = entries[i]
    if string.sub(name, 1, 1) ~= '\0' and prefix .. name ~= key then
      if redis.pcall('HGET', prefix .. name, '\0u') == digest then
        local there = inspect(prefix .. name, now, given_idle)
        living[#living + 1] = {name, there and tonumber(entries[i + 1]) or 0}
        if there and until_ > 0 and string.sub(there, 1, 1) == VERSION then
          local ends_at = end_of(there)
          until_ = ends_at > 0 and math.max(until_, ends_at) or 0
        end
      else
        redis.call('HDEL', index, name)
      end
    end
  end
  table.sort(living, function(a, b) return a[2] < b[2] end)
  for i = 1, #living - tonumber(most) + 1 do
    bury(prefix .. living[i][1], 'revoked')
    redis.call('HDEL', index, living[i][1])
    ended[#ended + 1] = living[i][1]
  end
  redis.call('HSET', key, '\0s', digits(now), '\0u', digest, '\0n', digest .. user_name, '\0l', label)
  redis.call('HSET', index, name_in(key), digits(now))
  redis.call('PEXPIRE', key, ttl_for(idle, birth, now))
  keep_index(index, had, until_, now)
  slid = 1
end

answer = {0, slid, birth, results, ended, own or '', user}
record(answer)
if load then answer[8] = redis.call('HGETALL', key) end
return answer
