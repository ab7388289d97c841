-- KEYS: a user's index. ARGV: '1' to forget the stamp, too; then name and value of each entry to remove: if
-- it still has that value, or in any case (''). Returns for each whether it was there and was removed.
local removed = {}
for i = 2, #ARGV, 2 do
  local expected = ARGV[i + 1]
  local fits = expected == '' or redis.call('HGET', KEYS[1], ARGV[i]) == expected
  removed[#removed + 1] = fits and redis.call('HDEL', KEYS[1], ARGV[i]) or 0
end
if ARGV[1] == '1' then redis.call('HDEL', KEYS[1], '\0v') end
return removed
