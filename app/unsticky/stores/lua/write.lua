-- The one script behind every change. All is validated before the first write, because scripts do
-- not roll back.
--
-- KEYS: session, operation's result [, new session].
-- ARGV: idle, step, unused, absolute (0: none), most fields, most bytes, nonce ('' unless creating),
--       load, how long the result is kept (ms), finish ('', 'end', 'move' or 'bind'), and for a finish
--       eight arguments: index prefix and session prefix of the session's bucket, then for 'end' its
--       kind, else the prefixes of the bucket it moves to, and user's digest ('' for no bind), stamp,
--       label, most sessions; then the changes.
-- Returns {0, slid, birth, results, ended, permanent [, fields]} | {1} missing | {2, kind} gone
--       | {3, field, current or nil, ...} conflict | {4, field, current} out of range
--       | {5, what, size, limit} too large | {6, version} | {7, field} not a counter | {8, stamp}
--       | {9} unreadable.
local key, operation, moved = KEYS[1], KEYS[2], KEYS[3]
local idle, step, unused, absolute = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local nonce, load, kept, finish = ARGV[7], ARGV[8] == '1', ARGV[9], ARGV[10]
local COUNTER_LIMIT = 999999999999999
local now = now_ms()

-- Whether the cookie is one that outlives the browser: the plain field of ten letters, holding
-- MessagePack's true. It must be known where the cookie is sent again, which is where it slid.
local function permanence(slid)
  return slid == 1 and redis.call('HGET', key, 'v\010_permanent') == '\195' and 1 or 0
end

local birth, seen = inspect(key, now)
local recorded = redis.call('GET', operation)
-- A result may outlive its session, and is then no answer; that of a finish tells how it ended.
local alive = birth and string.sub(birth, 1, 1) == VERSION
if recorded and (alive or finish ~= '') then
  local answer = cmsgpack.unpack(recorded)
  if alive then
    answer[3] = birth
    -- Hours later this is a use of its own.
    if seen and slide(key, birth, seen, now, idle, step) == 1 then
      answer[2], answer[6] = 1, permanence(1)
    end
  end
  if load then answer[7] = redis.call('HGETALL', moved or key) end
  return answer
end

local creating = false
if birth then
  if birth == '' then return {9} end
  if string.sub(birth, 1, 1) ~= VERSION then return {6, string.sub(birth, 1, 1)} end
else
  if seen then return {2, seen} end
  if nonce == '' then return {1} end
  creating = true
  seen = false
  birth = VERSION .. nonce .. digits(now) .. digits(absolute > 0 and now + absolute or 0)
end

-- Parse the changes.
local changes, names, at = {}, {}, 11
if finish ~= '' then at = 19 end
local ARITY = {S = 2, D = 1, s = 3, n = 2, d = 2, A = 4, T = 2, C = 2, X = 1, N = 2}
while at <= #ARGV do
  local kind = ARGV[at]
  local change = {kind = kind, place = at + 1}
  changes[#changes + 1] = change
  if kind ~= 'T' and kind ~= 'N' then
    names[#names + 1] = ARGV[at + 1]
    change.name = #names
  end
  at = at + 1 + ARITY[kind]
end
local current = {}
if #names > 0 and not creating then current = redis.call('HMGET', key, unpack(names)) end
local everything
local function all_fields()
  if not everything then everything = creating and {} or redis.call('HGETALL', key) end
  return everything
end
local function starts(text, prefix) return string.sub(text, 1, #prefix) == prefix end

-- Validate them.
local conflicts, sets, deletes, results = {3}, {}, {}, {}
local grown, added = 0, 0
for _, change in ipairs(changes) do
  local kind, place = change.kind, change.place
  local field = ARGV[place]
  local have = change.name and current[change.name] or false
  local expected
  if kind == 's' then expected = ARGV[place + 2]
  elseif kind == 'd' or kind == 'C' then expected = ARGV[place + 1]
  elseif kind == 'n' or kind == 'X' then expected = false end
  if expected ~= nil and have ~= expected then
    conflicts[#conflicts + 1] = field
    conflicts[#conflicts + 1] = have
  end
  local value
  if kind == 'S' or kind == 's' or kind == 'n' then
    value = ARGV[place + 1]
    grown = grown + #value - (have and #have or 0)
  elseif kind == 'D' or kind == 'd' then
    if have then
      deletes[#deletes + 1] = field
      added = added - 1
      grown = grown - #field - #have
    end
  elseif kind == 'A' then
    local number = 0
    if have then
      if not string.match(have, '^-?%d+$') then return {7, field} end
      number = tonumber(have)
    end
    local result = number + tonumber(ARGV[place + 1])
    local minimum, maximum = tonumber(ARGV[place + 2]), tonumber(ARGV[place + 3])
    if (minimum and result < minimum) or (maximum and result > maximum)
        or math.abs(number) > COUNTER_LIMIT or math.abs(result) > COUNTER_LIMIT then
      return {4, field, have or '0'}
    end
    value = string.format('%.0f', result)
    if value == '-0' then value = '0' end
    grown = grown + #value - (have and #have or 0)
    results[#results + 1] = value
  elseif kind == 'T' then
    local taken, fields, into = {}, all_fields(), ARGV[place + 1]
    local there = {}
    if into ~= '' then
      for i = 1, #fields, 2 do there[fields[i]] = fields[i + 1] end
    end
    for i = 1, #fields, 2 do
      local name, content = fields[i], fields[i + 1]
      if starts(name, field) then
        taken[#taken + 1] = name
        taken[#taken + 1] = content
        deletes[#deletes + 1] = name
        added = added - 1
        grown = grown - #name - #content
        if into ~= '' then
          local target = into .. string.sub(name, #field + 1)
          sets[#sets + 1] = target
          sets[#sets + 1] = content
          local replaced = there[target]
          added = added + (replaced and 0 or 1)
          grown = grown + #content + (replaced and -#replaced or #target)
        end
      end
    end
    results[#results + 1] = taken
  elseif kind == 'N' then
    local count, fields = 0, all_fields()
    for i = 1, #fields, 2 do
      if starts(fields[i], field) then count = count + 1 end
    end
    if count ~= tonumber(ARGV[place + 1]) then
      conflicts[#conflicts + 1] = field
      conflicts[#conflicts + 1] = false
    end
  end
  if value then
    sets[#sets + 1] = field
    sets[#sets + 1] = value
    if not have then
      added = added + 1
      grown = grown + #field
    end
  end
end
if #conflicts > 1 then return conflicts end
if added > 0 then
  local count, most = added + (creating and 0 or redis.call('HLEN', key)), tonumber(ARGV[5])
  if count > most then
    -- Near the cap only: those that are the library's own do not count.
    for _, own in ipairs(creating and {} or redis.call('HMGET', key, '\0m', '\0s', '\0u', '\0l')) do
      if own then count = count - 1 end
    end
    if count > most then return {5, 'fields', count, most} end
  end
end
if grown > 0 then
  local size, fields = grown, all_fields()
  for i = 1, #fields, 2 do
    if string.byte(fields[i]) ~= 0 then size = size + #fields[i] + #fields[i + 1] end
  end
  if size > tonumber(ARGV[6]) then return {5, 'bytes', size, tonumber(ARGV[6])} end
end

-- Validate the finish, and carry out an end.
local own_index, own_prefix = ARGV[11], ARGV[12]
local placing = finish == 'move' or finish == 'bind'
local index, session_prefix, digest, label, limit
if placing then
  session_prefix, digest, label, limit = ARGV[14], ARGV[15], ARGV[17], tonumber(ARGV[18])
  index = ARGV[13] .. digest
  if digest ~= '' and ARGV[16] ~= '' then
    local least = redis.call('HGET', index, '\0v')
    if least and is_below(ARGV[16], least) then return {8, least} end
  end
elseif finish == 'end' then
  local user = redis.call('HGET', key, '\0u')
  bury(key, ARGV[13])
  if user then redis.call('HDEL', own_index .. user, string.sub(key, #own_prefix + 1)) end
  local answer = {0, 0, birth, results, {}, 0}
  redis.pcall('SET', operation, cmsgpack.pack(answer), 'PX', kept)
  return answer
end

-- Apply. An HSET comes first: a full server, whose state is taken when the script begins, refuses it
-- before anything has changed.
local slid = 0
if creating then
  redis.call('HSET', key, '\0m', birth, unpack(sets))
  redis.call('PEXPIRE', key, ttl_for(math.min(unused, idle), birth, now))
else
  if placing then redis.call('HSET', key, '\0s', digits(now)) end
  if #sets > 0 then redis.call('HSET', key, unpack(sets)) end
  if #deletes > 0 then redis.call('HDEL', key, unpack(deletes)) end
  -- A move is a use of its own: it slides whatever was seen before.
  slid = slide(key, birth, not placing and seen, now, idle, step)
end

local ended = {}
if placing then
  local mine = string.sub(key, #own_prefix + 1)
  local user = redis.call('HGET', key, '\0u')
  if moved then
    redis.call('RENAME', key, moved)
    bury(key, 'rotated')
    key = moved
  end
  local entry = string.sub(key, #session_prefix + 1)
  if user and digest == '' then
    -- Entered before the old entry goes: an index without entries would lose its own expiry.
    redis.call('HSET', own_index .. user, entry, string.sub(birth, 10, 22))
  end
  if user then redis.call('HDEL', own_index .. user, mine) end
  if digest ~= '' then
    -- Prune by existence, end the oldest beyond the limit, then enter.
    local entries, living = redis.call('HGETALL', index), {}
    for i = 1, #entries, 2 do
      local name = entries[i]
      if string.sub(name, 1, 1) ~= '\0' and name ~= entry then
        if redis.pcall('HEXISTS', session_prefix .. name, '\0m') == 1 then
          living[#living + 1] = {name, tonumber(entries[i + 1])}
        else
          redis.call('HDEL', index, name)
        end
      end
    end
    table.sort(living, function(a, b) return a[2] < b[2] end)
    for i = 1, #living - limit + 1 do
      bury(session_prefix .. living[i][1], 'revoked')
      redis.call('HDEL', index, living[i][1])
      ended[#ended + 1] = living[i][1]
    end
    birth = string.sub(birth, 1, 9) .. digits(now) .. digits(absolute > 0 and now + absolute or 0)
    redis.call('HSET', key, '\0m', birth, '\0s', digits(now), '\0u', digest, '\0l', label)
    redis.call('HSET', index, entry, digits(now))
    redis.call('PEXPIRE', key, ttl_for(idle, birth, now))
    if absolute > 0 then redis.call('PEXPIRE', index, absolute) else redis.call('PERSIST', index) end
    slid = 1
  end
end

local answer = {0, slid, birth, results, ended, permanence(slid)}
-- pcall: on a full server pure deletions still happen, they are only not protected when sent again.
redis.pcall('SET', operation, cmsgpack.pack(answer), 'PX', kept)
if load then answer[7] = redis.call('HGETALL', key) end
return answer
