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
local key, operation, moved = KEYS[1], KEYS[2], KEYS[3]
local idle, _, _, load, kept, unused, absolute, nonce, entry, finish = unpack(ARGV, 1, 10)
local target, stamp, label, most, user_name = unpack(ARGV, 11, 15) -- only as many as `finish` has
local at = 11 + (finish == 'bind' and 5 or finish == 'end' and 1 or 0)
idle, unused, absolute, load = tonumber(idle), tonumber(unused), tonumber(absolute), load == '1'
local given_idle = idle
local once = entry == 'make'
local plain = entry == '' or once
local now = now_ms()

-- A result among the session's results begins with its expiry, because their common key lives as long
-- as the last of them.
local function recorded()
  if plain then return redis.call('GET', operation) end
  local found = redis.call('HGET', operation, entry)
  return found and tonumber(string.sub(found, 1, 13)) > now and string.sub(found, 14)
end

-- pcall: an error of a full server must not hide that the changes were made.
local function record(answer)
  if plain then return redis.pcall('SET', operation, packed(answer), 'PX', kept) end
  local count = redis.call('HLEN', operation)
  if count > 0 and count % 64 == 0 then
    local all = redis.call('HGETALL', operation)
    for i = 1, #all, 2 do
      if tonumber(string.sub(all[i + 1], 1, 13)) <= now then redis.call('HDEL', operation, all[i]) end
    end
  end
  local had = redis.call('PTTL', operation)
  redis.pcall('HSET', operation, entry, digits(now + kept) .. packed(answer))
  redis.call('PEXPIRE', operation, math.max(had, kept))
end

-- Returns the name and the digest of the user to whom a session is bound.
local function user_of(where)
  local found = redis.call('HMGET', where, '\0u', '\0n')
  local digest, name = found[1], found[2]
  if not digest then return '', false end
  if not name or string.sub(name, 1, #digest) ~= digest then return '', digest end
  return string.sub(name, #digest + 1), digest
end

include 'parsed'
local birth, seen, own, current = inspect(key, now, idle, names)
if birth == '' and once then return {9} end
local alive = birth and string.sub(birth, 1, 1) == VERSION
local before = recorded()
local answer = before and unpacked(before)
if once and (answer or alive) and (alive or not birth) then
  -- The session that this operation made is answered as it is now, whatever this resend would write.
  if not alive then return {2, 'adopted'} end
  answer = answer or {0, 0, birth, {}, {}}
  answer[7] = user_of(key)
end
-- A result that outlives its session is no answer, except the result of an end or a move. If the session
-- ended as emptied, the result still answers, because the session may begin again and the operation must
-- not be applied twice. A session that lives after the operation that ended it has begun again.
local emptied = not birth and seen == 'emptied'
if answer and ((alive and finish ~= 'end') or (not alive and (finish == 'end' or moved or emptied))) then
  if alive then
    answer[3], answer[6] = birth, own or ''
    -- Hours later, a resend is another use.
    if seen and slide(key, birth, seen, now, idle_of(own, idle), unused) == 1 then answer[2] = 1 end
    if not before then record(answer) end
  end
  -- The caller may wait until replicas have the result, and Valkey waits for what this call wrote.
  if before then
    redis.call('PEXPIRE', operation, math.max(redis.call('PTTL', operation), 1))
  end
  if load and finish ~= 'end' then
    local there = inspect(moved or key, now)
    answer[8] = there and there ~= '' and redis.call('HGETALL', moved or key) or {}
  end
  return answer
end

local creating = false
if birth then
  if birth == '' then return {9} end
  if not alive then return {6, string.sub(birth, 1, 1)} end
else
  -- A session that ended as emptied held nothing, and may be made again under its name.
  if seen and (seen ~= 'emptied' or nonce == '') then
    return {2, seen, answer and finish == '' and 1 or nil}
  end
  if nonce == '' then return {1} end
  creating = true
  seen = false
  birth = VERSION .. nonce .. digits(now) .. digits(absolute > 0 and now + absolute or 0)
end
if creating then current = {} end
include 'checked'

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

-- Apply. HSET comes first: if a full server refuses it, nothing has changed. (It refuses nothing after a
-- script's first write.) An unbind that sets no field, which is a logout, works on a full server too.
if limits then
  own = (limits[1] > 0 or limits[2] > 0) and digits(limits[1]) .. digits(limits[2]) or false
end
if finish == 'unbind' then own = false end
-- Returns the birth record for this time of creation, with its own absolute limit or the given one.
local function born(created)
  local limit = own and tonumber(string.sub(own, 14, 26)) or 0
  if limit == 0 then limit = absolute end
  return string.sub(birth, 1, 9) .. digits(created) .. digits(limit > 0 and created + limit or 0)
end
if finish == 'bind' or finish == 'unbind' then
  birth = born(now)
elseif limits then
  birth = born(created_of(birth))
end
idle = idle_of(own, idle)

local slid = 0
if creating then
  local stands, _, late = redis.call('EXISTS', key) == 1, user_of(key)
  redis.call('HSET', key, '\0m', birth)
  if stands then
    -- A session past its limits is here: none of its data may come back.
    redis.call('DEL', key, beside(key, 'r', name_in(key)))
    if late then redis.call('HDEL', beside(key, 'u', late), name_in(key)) end
    redis.call('HSET', key, '\0m', birth)
  end
  if own then redis.call('HSET', key, '\0i', own) end
  in_parts('HSET', key, sets)
  redis.call('PEXPIRE', key, ttl_for(math.min(unused, idle), birth, now))
else
  if finish == 'unbind' and #sets == 0 then redis.call('HDEL', key, '\0u', '\0n', '\0l') end
  if placing or limits then
    redis.call('HSET', key, '\0m', birth, '\0s', digits(now))
    if own then redis.call('HSET', key, '\0i', own) else redis.call('HDEL', key, '\0i') end
  end
  in_parts('HSET', key, sets)
  in_parts('HDEL', key, deletes)
end
-- A move, a bind or new limits always slide, and show that the session is in use.
local shown = placing or limits
if placing or not creating then
  slid = slide(key, birth, not shown and seen, now, idle, shown and idle or unused)
end
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
