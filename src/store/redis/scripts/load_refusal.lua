-- ARGV from the second: reference, now, lifetime in milliseconds.
local at = redis.call('ZSCORE', P .. ':rt', ARGV[2])
if not at or tonumber(at) <= tonumber(ARGV[3]) - tonumber(ARGV[4]) then
  return false
end
return redis.call('HGET', P .. ':r', ARGV[2])
