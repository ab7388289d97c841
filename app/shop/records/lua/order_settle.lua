-- Writes an order down, unless it is there already: then it stays as it is.
-- KEYS: orders, order ids by time, outbox.
-- ARGV: order id, content, created (ms, '' for now), how long it is kept (ms, '' for ever).
-- Returns {created, content} of what is there now.
local orders, ids, outbox = KEYS[1], KEYS[2], KEYS[3]
local id, content, created, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local before = redis.call('HGET', orders, id)
if before then
  content, created = before, redis.call('ZSCORE', ids, id)
else
  if created == '' then created = string.format('%.0f', now_ms()) end
  redis.call('HSET', orders, id, content)
  redis.call('ZADD', ids, created, id)
  if kept ~= '' then
    redis.call('PEXPIRE', orders, kept)
    redis.call('PEXPIRE', ids, kept)
  end
end
redis.call('HDEL', outbox, id)
return {created, content}
