-- What a script needs that changes more than the fields of one session: the keys beside it, and the
-- ways in which they change hands.
local TOMBSTONE_MS = 60000

-- A session's name is 22 characters. What belongs to it, or to a user of its bucket, has a key that
-- differs from the session's from the kind on: its results ('r'), its user's index ('u').
local function beside(key, kind, name)
  return string.sub(key, 1, -25) .. kind .. ':' .. name
end

local function name_in(key) return string.sub(key, -22) end

-- Compares integers as text where this Lua's numbers cannot tell them apart (beyond 2^53).
local function is_below(one, other)
  local a, b = tonumber(one), tonumber(other)
  if a ~= b then return a < b end
  if one == other then return false end
  local longer = #one > #other or (#one == #other and one > other)
  return (a < 0) == longer
end

-- Deletion first, tombstone after: a full server still deletes, it only forgets sooner.
local function bury(key, kind)
  redis.call('DEL', key, beside(key, 'r', name_in(key)))
  redis.pcall('HSET', key, '\0t', kind)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end

-- Lets an index live at least until `ends_at` (0: without end), and never shorter than it would.
-- `had` is what PTTL said of it before it was written to.
local function keep_index(index, had, ends_at, now)
  if had == -1 then return end
  if ends_at == 0 then
    redis.call('PERSIST', index)
  else
    -- Also where it had long enough: emptied and written to again, it is another key without an expiry.
    redis.call('PEXPIRE', index, math.max(had, ends_at - now))
  end
end
