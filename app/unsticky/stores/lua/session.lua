-- The clock, a session's reserved fields, and its idle limit.
--
-- Reserved fields of a session begin with NUL: \0m birth record, \0s last seen, \0i its own limits,
-- \0u the user's digest, \0n that digest and the user's name, \0l label, \0t tombstone. The birth
-- record is version (1), nonce (8), created (13) and absolute end (13); its own limits are idle
-- (13) and absolute (13), 0 for none. All times are milliseconds, as text of fixed width, which every
-- server's Lua cuts quickly. \0n repeats the digest because an old release binds without \0n: a name
-- counts only if \0u still has the digest that it was written with.
local VERSION = '1'
-- One call takes at most about 8,000 values from Lua.
local CHUNK = 4000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(milliseconds)
  return string.format('%013.0f', milliseconds)
end

local function end_of(birth)
  return tonumber(string.sub(birth, 23, 35))
end

local function created_of(birth)
  return tonumber(string.sub(birth, 10, 22))
end

local function wrong_type(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE', 1, true)
end

-- Tells whether no release wrote this session. An unknown version is a newer release's.
local function unreadable(birth, seen, own)
  local version = string.sub(birth, 1, 1)
  if version ~= VERSION then return version == '' end
  return #birth ~= 35 or not string.find(birth, '^%d+$', 10) or (seen and not string.find(seen, '^%d+$'))
    or (own and (#own ~= 26 or string.find(own, '%D')))
end

-- Returns a session's own idle limit, or else the given one.
local function idle_of(own, idle)
  local limit = own and tonumber(string.sub(own, 1, 13)) or 0
  return limit > 0 and limit or idle
end

-- Tells whether a session is past its absolute or idle limit. Its key may still exist, because the
-- limits may have been longer when the key's expiry was set. Only for VERSION.
local function is_past(birth, seen, own, now, idle)
  local ends_at, limit = end_of(birth), idle_of(own, idle)
  if ends_at > 0 and ends_at <= now then return true end
  return limit and now - (seen and tonumber(seen) or created_of(birth)) >= limit
end

-- At least 1, so that a session past its absolute limit exists until the script ends.
local function ttl_for(limit, birth, now)
  local ends_at = end_of(birth)
  if ends_at > 0 and ends_at - now < limit then return math.max(ends_at - now, 1) end
  return limit
end

-- Slides a session's idle limit, at most once in a step (a twentieth of it), or sooner if the key's
-- expiry was set under a shorter limit. On a full server \0s may stay old (pcall), but the limit
-- slides, so that reading goes on.
--
-- A session that is not known to be in use has the limit `unused`, if that is shorter. It is in use if
-- this use, the one before and its creation are `apart`, or if it was not seen for longer than `unused`,
-- since it has had a longer limit then. It may have that for another reason, and never gets a shorter one.
local function slide(key, birth, seen, now, idle, unused)
  local step, limit, last = math.floor(idle / 20), idle, seen and tonumber(seen) or created_of(birth)
  if unused < idle and now - last < unused then
    local apart = math.min(60000, math.floor(unused / 4))
    if not seen or now - last < apart or last - created_of(birth) < apart then
      limit, step = math.min(idle, math.max(unused, redis.call('PTTL', key))), apart
    end
  end
  local ttl = ttl_for(limit, birth, now)
  if seen and now - last < step and redis.call('PTTL', key) >= ttl - step then return 0 end
  redis.pcall('HSET', key, '\0s', digits(now))
  redis.call('PEXPIRE', key, ttl)
  return 1
end

-- Returns the birth record, last seen, own limits and all loaded fields of a living session; false and
-- the tombstone's kind of an ended one; false and false if there is none; '' if it is unreadable.
-- Without `idle` only own idle limits count. `names` are the fields to load, these four first.
local function inspect(key, now, idle, names)
  names = names or {'\0m', '\0s', '\0i', '\0t'}
  local found = redis.pcall('HMGET', key, unpack(names, 1, math.min(#names, CHUNK)))
  if wrong_type(found) then return '' end
  if found.err then error(found.err) end
  local birth, seen, own = found[1], found[2], found[3]
  if found[4] then return false, found[4] end
  if not birth then return false, false end
  if unreadable(birth, seen, own) then return '' end
  if string.sub(birth, 1, 1) == VERSION and is_past(birth, seen, own, now, idle) then
    return false, false
  end
  return birth, seen, own, found
end

