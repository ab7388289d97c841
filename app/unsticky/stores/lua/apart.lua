-- A user's index in a cluster. Its sessions are in other slots, so an entry also says how far a call that
-- spans slots has come. Its name is the session's name, with the session's bucket if that is not the user's.
-- Its value is when the session was bound, as 13 digits. With 'p', 13 digits and an entry before it, the
-- session is not there yet and may come until then, in the place of that entry's session, if any; with 'e'
-- before all that, the session is to end.
local LEASE_MS = 30000

local function is_entry(name) return string.byte(name) ~= 0 end
local function is_ending(value) return value and string.byte(value) == 101 end
local function is_awaited(value) return value and string.byte(value) == 112 end
local function order_of(value) return string.sub(value, -13) end

-- Returns the entry whose session is on its way to this name.
local function followed_by(value)
  local followed = is_awaited(value) and string.sub(value, 15, -14)
  return followed ~= '' and followed
end

-- Tells whether the session may still come. The clocks of two servers may be LEASE_MS apart.
local function may_come(value, now)
  local lease = string.match(value, '^e?p(%d%d%d%d%d%d%d%d%d%d%d%d%d)')
  return lease and now <= tonumber(lease) + LEASE_MS
end
