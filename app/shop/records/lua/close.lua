-- KEYS: saved cart, claim. ARGV: how long a closed claim is kept (ms).
local cart, claim = KEYS[1], KEYS[2]
local fields = redis.call('HGETALL', claim)
local sets, deletes = {}, {}
for i = 1, #fields, 2 do
  local sku = fields[i]
  if string.byte(sku) ~= 0 then
    local left = tonumber(redis.call('HGET', cart, sku) or '0') - tonumber(fields[i + 1])
    if left > 0 then
      sets[#sets + 1] = sku
      sets[#sets + 1] = string.format('%.0f', left)
    else
      deletes[#deletes + 1] = sku
    end
  end
end
redis.call('HSET', claim, '\0state', 'closed')
redis.call('PEXPIRE', claim, ARGV[1])
for i = 1, #fields, 2 do
  if string.byte(fields[i]) ~= 0 then redis.call('HDEL', claim, fields[i]) end
end
if #sets > 0 then redis.call('HSET', cart, unpack(sets)) end
if #deletes > 0 then redis.call('HDEL', cart, unpack(deletes)) end
return 0
