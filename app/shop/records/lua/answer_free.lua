-- KEYS: the key's record. ARGV: the request's id.
local found = redis.call('HMGET', KEYS[1], 'holder', 'status')
if found[1] == ARGV[1] and not found[2] then return redis.call('DEL', KEYS[1]) end
return 0
