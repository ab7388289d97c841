-- For scripts that change more than the fields of one session: the keys beside it, and how they change.
local TOMBSTONE_MS = 60000

-- A session's name has 22 characters. Its results ('r') and its user's index ('u') have keys that differ
-- from the session's only in the kind and the name.
local function beside(key, kind, name)
  return string.sub(key, 1, -25) .. kind .. ':' .. name
end

local function name_in(key) return string.sub(key, -22) end

-- Compares integers as text if Lua's numbers cannot tell them apart (beyond 2^53).
local function is_below(one, other)
  local a, b = tonumber(one), tonumber(other)
  if a ~= b then return a < b end
  if one == other then return false end
  local longer = #one > #other or (#one == #other and one > other)
  return (a < 0) == longer
end

-- The tombstone comes after the deletion, so that a full server still deletes: it only has no tombstone.
local function bury(key, kind)
  redis.call('DEL', key, beside(key, 'r', name_in(key)))
  redis.pcall('HSET', key, '\0t', kind)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end

-- Keeps an index at least until `ends_at` (0: for ever), and never shorter than it would live anyway.
-- `had` is its PTTL before it was written to.
local function keep_index(index, had, ends_at, now)
  if had == -1 then return end
  if ends_at == 0 then
    redis.call('PERSIST', index)
  else
    -- Also if it had long enough: if it was emptied and written again, it is a key without expiry.
    redis.call('PEXPIRE', index, math.max(had, ends_at - now))
  end
end
