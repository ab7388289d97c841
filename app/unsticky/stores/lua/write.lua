-- The one script behind every change. All is validated before the first write, because scripts do
-- not roll back.
--
-- KEYS: session, where the operation's result is kept [, new session].
-- ARGV: as `change.lua` says; unused, absolute (0: none), nonce ('' unless creating), how the result
--       is kept ('' in a key of its own, 'make' likewise for a session that is made once, else the
--       field of the session's results), finish: '', 'end' and its kind, 'move', 'unbind' (a move),
--       or 'bind' and user's digest, stamp, label, most sessions, user's name; then the changes.
-- Returns {0, slid, birth, results, ended, own limits, user [, fields]} | {1} missing | {2, kind} gone
--       | {3, field, current or nil, ...} conflict | {4, field, current} out of range
--       | {5, what, size, limit} too large | {6, version} | {7, field} not a counter | {8, stamp}
--       | {9} unreadable.
include 'session'
include 'keys'
include 'answered'
local key, operation, moved = KEYS[1], KEYS[2], KEYS[3]
local idle, unused, absolute = tonumber(ARGV[1]), tonumber(ARGV[6]), tonumber(ARGV[7])
local load, kept, nonce, entry, finish = ARGV[4] == '1', ARGV[5], ARGV[8], ARGV[9], ARGV[10]
local once = entry == 'make'
local plain = entry == '' or once
local now = now_ms()

-- The result in a session's results begins with when it ends, because their key lives as long as the
-- last of them.
local function recorded()
  if plain then return redis.call('GET', operation) end
  local found = redis.call('HGET', operation, entry)
  return found and tonumber(string.sub(found, 1, 13)) > now and string.sub(found, 14)
end

-- pcall: on a full server this must not take back what happened.
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

-- The name and the digest of the user to whom a session is bound.
local function user_of(where)
  local found = redis.call('HMGET', where, '\0u', '\0n')
  local digest, name = found[1], found[2]
  if not digest then return '', false end
  if not name or string.sub(name, 1, #digest) ~= digest then return '', digest end
  return string.sub(name, #digest + 1), digest
end

local at = 11
if finish == 'end' then at = 12 elseif finish == 'bind' then at = 16 end
include 'parsed'
local birth, seen, own, current = inspect(key, now, idle, names)
if birth == '' and once then return {9} end
local alive = birth and string.sub(birth, 1, 1) == VERSION
local before = recorded()
local answer = before and unpacked(before)
if once and (answer or alive) and (alive or not birth) then
  -- What this operation made is answered as it is now, whatever is to be written this time.
  if not alive then return {2, 'adopted'} end
  answer = answer or {0, 0, birth, {}, {}}
  answer[7] = user_of(key)
end
-- A result may outlive its session, and is then no answer; that of an end or a move tells how it ended,
-- and what was emptied may begin again, where the same must not be applied a second time. What lives
-- after its end has begun again.
local emptied = not birth and seen == 'emptied'
if answer and ((alive and finish ~= 'end') or (not alive and (finish == 'end' or moved or emptied))) then
  if alive then
    answer[3], answer[6] = birth, own or ''
    -- Hours later this is a use of its own.
    if seen and slide(key, birth, seen, now, idle_of(own, idle)) == 1 then answer[2] = 1 end
    if not before then record(answer) end
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
  -- What was emptied held nothing, and may be made again under its name.
  if seen and (seen ~= 'emptied' or nonce == '') then return {2, seen} end
  if nonce == '' then return {1} end
  creating = true
  seen = false
  birth = VERSION .. nonce .. digits(now) .. digits(absolute > 0 and now + absolute or 0)
end
if creating then current = {} end
include 'checked'

-- Validate the finish, and carry out an end.
local placing = finish == 'bind' or moved
local digest = finish == 'bind' and ARGV[11]
local index = digest and beside(moved or key, 'u', digest)
if digest and ARGV[12] ~= '' then
  local least = redis.call('HGET', index, '\0v')
  if least and is_below(ARGV[12], least) then return {8, least} end
end
local user, bound = '', false
if not creating and (finish ~= '' or limits) then user, bound = user_of(key) end
if finish == 'end' then
  bury(key, ARGV[11])
  if bound then redis.call('HDEL', beside(key, 'u', bound), name_in(key)) end
  answer = {0, 0, birth, results, {}, own or '', user}
  record(answer)
  return answer
end

-- Apply. An HSET comes first: a full server refuses it, and nothing has changed. (It refuses nothing
-- of a script that has written.) Only to unbind, which is a logout, needs no room where nothing is set.
if limits then
  own = (limits[1] > 0 or limits[2] > 0) and digits(limits[1]) .. digits(limits[2]) or false
end
if finish == 'unbind' then own = false end
-- The birth record of a session that was created then, under its own absolute limit or the given one.
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
    -- A session that is past: nothing of it is to come back.
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
-- A move is a use of its own: it slides whatever was seen before.
if placing or not creating then
  slid = slide(key, birth, not placing and not limits and seen, now, idle)
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
      -- Entered before the old entry goes: an index without entries would lose its own expiry.
      local had = redis.call('PTTL', old)
      redis.call('HSET', old, name_in(key), digits(created_of(birth)))
      keep_index(old, had, deadline_of(birth), now)
    end
    redis.call('HDEL', old, mine)
  end
elseif limits and bound then
  local old = beside(key, 'u', bound)
  keep_index(old, redis.call('PTTL', old), deadline_of(birth), now)
end
if digest then
  -- Prune by existence, end the oldest beyond the limit, those first that are past, then enter.
  local had, until_ = redis.call('PTTL', index), deadline_of(birth)
  local entries, living, prefix = redis.call('HGETALL', index), {}, string.sub(key, 1, -23)
  for i = 1, #entries, 2 do
    local name = entries[i]
    if string.sub(name, 1, 1) ~= '\0' and prefix .. name ~= key then
      if redis.pcall('HGET', prefix .. name, '\0u') == digest then
        local there = inspect(prefix .. name, now, tonumber(ARGV[1]))
        living[#living + 1] = {name, there and tonumber(entries[i + 1]) or 0}
        if there and until_ > 0 and string.sub(there, 1, 1) == VERSION then
          local deadline = deadline_of(there)
          until_ = deadline > 0 and math.max(until_, deadline) or 0
        end
      else
        redis.call('HDEL', index, name)
      end
    end
  end
  table.sort(living, function(a, b) return a[2] < b[2] end)
  for i = 1, #living - tonumber(ARGV[14]) + 1 do
    bury(prefix .. living[i][1], 'revoked')
    redis.call('HDEL', index, living[i][1])
    ended[#ended + 1] = living[i][1]
  end
  redis.call('HSET', key, '\0s', digits(now), '\0u', digest, '\0n', digest .. ARGV[15], '\0l', ARGV[13])
  redis.call('HSET', index, name_in(key), digits(now))
  redis.call('PEXPIRE', key, ttl_for(idle, birth, now))
  keep_index(index, had, until_, now)
  slid = 1
end

answer = {0, slid, birth, results, ended, own or '', user}
record(answer)
if load then answer[8] = redis.call('HGETALL', key) end
return answer
