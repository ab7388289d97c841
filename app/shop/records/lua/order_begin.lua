-- Moves a cart into an order of its own, in one step: what was added before is in the order, what
-- comes after stays in the cart.
-- KEYS: cart, orders, outbox. ARGV: order id.
-- Returns {0} empty | {1, begun} now or before, as the outbox has it | {2} settled before.
local cart, orders, outbox, id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
if redis.call('HEXISTS', orders, id) == 1 then return {2} end
local begun = redis.call('HGET', outbox, id)
if not begun then
  local lines, quantities = redis.call('HGETALL', cart), {}
  if #lines == 0 then return {0} end
  for i = 1, #lines, 2 do quantities[lines[i]] = tonumber(lines[i + 1]) end
  begun = cjson.encode({created = now_ms(), quantities = quantities})
  redis.call('HSET', outbox, id, begun)
  redis.call('DEL', cart)
end
return {1, begun}
