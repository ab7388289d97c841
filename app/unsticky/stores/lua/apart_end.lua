-- KEYS: session, the results that end with it. ARGV: user or '' (anybody's), '1' if it may still come. Ends
-- the session, also if it is not there yet. Returns whether there was one.
include 'session'
include 'keys'
local key, user, awaited = KEYS[1], ARGV[1], ARGV[2] == '1'
local found = redis.pcall('HMGET', key, '\0m', '\0t', '\0u')
-- An unreadable session must not keep the others alive.
local unreadable = wrong_type(found)
if found.err and not unreadable then return found end
if not unreadable then
  -- Ended by the call that marked it, if that stopped before it removed the mark.
  if found[2] then return user ~= '' and not awaited and found[2] == 'revoked' and 1 or 0 end
  if not found[1] and not awaited then return 0 end
  -- One that is awaited may be there and not bound yet. Otherwise it must be this user's, because
  -- the index may name one that was bound to another user since.
  if found[1] and not awaited and user ~= '' and found[3] ~= user then return 0 end
  if not found[1] then
    redis.call('HSET', key, '\0t', 'revoked')
    redis.call('PEXPIRE', key, TOMBSTONE_MS)
    return 0
  end
end
bury(key, 'revoked')
return 1
