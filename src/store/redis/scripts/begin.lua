local hash, account, record, expires, ms, enrolment = unpack(ARGV, 2)
local key = P .. ':p:' .. hash
redis.call('HSET', key, 'account', account, 'record', record, 'expires', expires, 'guesses', 0)
if enrolment then
  redis.call('HSET', key, 'enrolment', enrolment)
end
redis.call('PEXPIRE', key, ms)
index(account, 'p:' .. hash, tonumber(ms))
return 1
