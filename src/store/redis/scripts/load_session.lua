return fields_of(ARGV[2])
