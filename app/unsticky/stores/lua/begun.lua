-- Reads the arguments of `write.lua`; answers an operation that came before; checks the changes.
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
  if before then
    include 'resent'
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
    -- Who ends it again may wait until replicas have the tombstone, and Valkey waits for what a call wrote.
    if finish == 'end' then redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), 1)) end
    return {2, seen, answer and finish == '' and 1 or nil}
  end
  if nonce == '' then return {1} end
  creating = true
  seen = false
  birth = VERSION .. nonce .. digits(now) .. digits(absolute > 0 and now + absolute or 0)
end
if creating then current = {} end
include 'checked'
