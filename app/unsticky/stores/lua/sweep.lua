-- KEYS: none, or a free key as in `end_all.lua`. ARGV: cursor, pattern of session keys, how many keys to
-- look at. Ends the living sessions among them; their users' indexes forget them at the next read.
-- Returns {next cursor, ended keys}.
include 'session'
include 'keys'
local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local ended = {}
for _, key in ipairs(found[2]) do
  if redis.pcall('HEXISTS', key, '\0m') == 1 then
    bury(key, 'revoked')
    ended[#ended + 1] = key
  end
end
if KEYS[1] and #ended == 0 then
  redis.call('SET', KEYS[1], '1', 'PX', 1000)
  redis.call('DEL', KEYS[1])
end
return {found[1], ended}
