-- What every script begins with: the clock, what stands at a key, and the three ways in which a
-- session's key changes hands. Reserved fields begin with NUL: \0m birth record, \0s last seen,
-- \0u the user's digest, \0l label, \0t tombstone. The birth record is version (1), nonce (8),
-- created (13) and absolute deadline (13), both in milliseconds, as text of fixed width: portable
-- over every server's Lua, and cheap to cut.
local VERSION = '1'
local TOMBSTONE_MS = 60000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(milliseconds)
  return string.format('%013.0f', milliseconds)
end

-- Compares integers as text where this Lua's numbers cannot tell them apart (beyond 2^53).
local function is_below(one, other)
  local a, b = tonumber(one), tonumber(other)
  if a ~= b then return a < b end
  if one == other then return false end
  local longer = #one > #other or (#one == #other and one > other)
  return (a < 0) == longer
end

local function deadline_of(birth)
  return tonumber(string.sub(birth, 23, 35))
end

local function wrong_type(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE', 1, true)
end

-- No release wrote a session like this one; a version not known here is a newer release's.
local function unreadable(birth, seen)
  local version = string.sub(birth, 1, 1)
  if version ~= VERSION then return version == '' end
  return #birth ~= 35 or not string.find(birth, '^%d+$', 10) or (seen and not tonumber(seen))
end

-- A session past its absolute limit is none, even where its key still stands.
local function is_past(birth, now)
  if string.sub(birth, 1, 1) ~= VERSION then return false end
  local deadline = deadline_of(birth)
  return deadline > 0 and deadline <= now
end

-- Returns birth record and last seen of a living session; false and the tombstone's kind of an
-- ended one; false and false where there is none; '' where what stands there is unreadable.
local function inspect(key, now)
  local found = redis.pcall('HMGET', key, '\0m', '\0s', '\0t')
  if wrong_type(found) then return '' end
  if found.err then error(found.err) end
  if found[3] then return false, found[3] end
  if found[1] and unreadable(found[1], found[2]) then return '' end
  if not found[1] or is_past(found[1], now) then return false, false end
  return found[1], found[2]
end

local function ttl_for(limit, birth, now)
  local deadline = deadline_of(birth)
  if deadline > 0 and deadline - now < limit then return deadline - now end
  return limit
end

-- A session's idle limit moves at most once a step. On a full server the record of it may fail
-- (pcall) while the limit itself still moves: reading goes on.
local function slide(key, birth, seen, now, idle, step)
  if seen and now - tonumber(seen) < step then return 0 end
  redis.pcall('HSET', key, '\0s', digits(now))
  redis.call('PEXPIRE', key, ttl_for(idle, birth, now))
  return 1
end

-- Deletion first, tombstone after: a full server still deletes, it only forgets sooner.
local function bury(key, kind)
  redis.call('DEL', key)
  redis.pcall('HSET', key, '\0t', kind)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end
