-- ARGV from the second: keys of paced counters. Returns the remaining backoff of each.
local waits = {}
for i = 2, #ARGV do
  waits[i - 1] = math.max(0, redis.call('PTTL', P .. ':c:' .. ARGV[i] .. ':wait'))
end
return waits
