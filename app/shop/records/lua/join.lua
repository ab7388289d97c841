-- KEYS: saved cart, this claim, earlier claims to close.
-- ARGV: most of a line, how long a claim and a closed one are kept (ms), then sku and quantity of
-- what the guest's cart holds.
-- A claim is a hash: '\0state' is 'joined' or 'closed'; sku -> what it contributed.
-- Returns 1, or 0 where this claim was closed.
local cart, mine, most = KEYS[1], KEYS[2], tonumber(ARGV[1])
if redis.call('HGET', mine, '\0state') == 'closed' then return 0 end

local wanted, had, skus = {}, {}, {}
local function note(quantities, sku, qty)
  if not wanted[sku] and not had[sku] then skus[#skus + 1] = sku end
  quantities[sku] = (quantities[sku] or 0) + qty
end
for at = 4, #ARGV, 2 do note(wanted, ARGV[at], tonumber(ARGV[at + 1])) end
for at = 2, #KEYS do
  local fields = redis.call('HGETALL', KEYS[at])
  for i = 1, #fields, 2 do
    if string.byte(fields[i]) ~= 0 then note(had, fields[i], tonumber(fields[i + 1])) end
  end
end

local sets, deletes, withdrawn, contributed = {}, {}, {}, {'\0state', 'joined'}
for _, sku in ipairs(skus) do
  local want, before = wanted[sku] or 0, had[sku] or 0
  local now = tonumber(redis.call('HGET', cart, sku) or '0')
  local after = math.max(0, math.min(now + want - before, math.max(now, most)))
  if after > 0 then
    sets[#sets + 1] = sku
    sets[#sets + 1] = string.format('%.0f', after)
  else
    deletes[#deletes + 1] = sku
  end
  local share = math.min(want, before + after - now)
  if share > 0 then
    contributed[#contributed + 1] = sku
    contributed[#contributed + 1] = string.format('%.0f', share)
  else
    withdrawn[#withdrawn + 1] = sku
  end
end

redis.call('HSET', mine, unpack(contributed))
redis.call('PEXPIRE', mine, ARGV[2])
if #withdrawn > 0 then redis.call('HDEL', mine, unpack(withdrawn)) end
if #sets > 0 then redis.call('HSET', cart, unpack(sets)) end
if #deletes > 0 then redis.call('HDEL', cart, unpack(deletes)) end
for at = 3, #KEYS do
  redis.call('DEL', KEYS[at])
  redis.call('HSET', KEYS[at], '\0state', 'closed')
  redis.call('PEXPIRE', KEYS[at], ARGV[3])
end
return 1
