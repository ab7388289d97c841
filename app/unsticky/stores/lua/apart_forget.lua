-- KEYS: a user's index. ARGV: '1' to forget the stamp, too; then name and value of each entry to remove: if
-- it still has that value, or in any case ('').
for i = 2, #ARGV, 2 do
  local expected = ARGV[i + 1]
  if expected == '' or redis.call('HGET', KEYS[1], ARGV[i]) == expected then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if ARGV[1] == '1' then redis.call('HDEL', KEYS[1], '\0v') end
return 0
