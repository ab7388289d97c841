-- KEYS: orders, order ids by time, outbox. ARGV: how many.
-- Returns {{id, created, content, …} newest first, {id, begun, …}}.
local orders, ids, outbox = KEYS[1], KEYS[2], KEYS[3]
-- Changes nothing, and only the primary does it; see cart_read.lua.
redis.call('HDEL', orders, '')
local newest, found = redis.call('ZREVRANGE', ids, 0, ARGV[1] - 1, 'WITHSCORES'), {}
for i = 1, #newest, 2 do
  found[#found + 1] = newest[i]
  found[#found + 1] = newest[i + 1]
  found[#found + 1] = redis.call('HGET', orders, newest[i])
end
return {found, redis.call('HGETALL', outbox)}
