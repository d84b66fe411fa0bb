-- ARGV from the second: public id, account that the session must be of (optional).
local key, account = P .. ':i:' .. ARGV[2], ARGV[3]
local hash = redis.call('GET', key)
if hash and account and redis.call('HGET', P .. ':s:' .. hash, 'account') ~= account then
  return 0
end
redis.call('DEL', key)
return hash and end_session(hash) or 0
