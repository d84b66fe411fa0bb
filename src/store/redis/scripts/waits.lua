-- ARGV from the second: the keys of paced counters. How long each still has to wait.
local waits = {}
for i = 2, #ARGV do
  waits[i - 1] = math.max(0, redis.call('PTTL', P .. ':c:' .. ARGV[i] .. ':wait'))
end
return waits
