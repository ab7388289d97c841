-- KEYS: cart, the operation's result.
-- ARGV: how long the result is kept (ms), most per line, what ('add', 'put' or 'clear')
--       [, sku, quantity].
-- Returns {0, the line as the operation left it, sku, quantity, …} | {1, the line as it stays} full.
local cart, operation = KEYS[1], KEYS[2]
local kept, most, what, sku = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local line = tonumber(redis.call('GET', operation) or '')
if not line then
  line = 0
  if what == 'add' then
    local before = tonumber(redis.call('HGET', cart, sku) or '0')
    line = before + tonumber(ARGV[5])
    if line > most then return {1, before} end
  elseif what == 'put' then
    line = tonumber(ARGV[5])
  end
  -- A server whose memory is full refuses the first HSET, before anything has changed; what only
  -- removes still happens there, and is harmless to repeat (pcall).
  if line > 0 then
    redis.call('HSET', cart, sku, line)
  elseif what == 'put' then
    redis.call('HDEL', cart, sku)
  else
    redis.call('DEL', cart)
  end
  redis.pcall('SET', operation, line, 'PX', kept)
end
local answer = redis.call('HGETALL', cart)
table.insert(answer, 1, line)
table.insert(answer, 1, 0)
return answer
