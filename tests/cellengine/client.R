#!/usr/bin/env Rscript
# Sends what CellEngine's R toolkit sends, on the same HTTP stack: httr, with one cookie pool for each host,
# and the toolkit's Accept header, names of parts and paths, and prompt for a code. It contains no code of
# the toolkit.
#
#     client.R BASE_URL CA_FILE TASK [ARGUMENTS]
#
# The last line printed is the result of the task as JSON.

suppressPackageStartupMessages(library(httr))

args <- commandArgs(trailingOnly = TRUE)
api <- paste0(args[1], "/api/v1")
set_config(config(cainfo = args[2]))
input <- file("stdin", open = "r")

say <- function(...) {
  cat(jsonlite::toJSON(list(...), auto_unbox = TRUE), "\n", sep = "")
  flush(stdout())
}

ask <- function() {
  cat("One-time code: ")
  line <- readLines(input, n = 1)
  if (length(line) == 0) stop("nobody answers")
  line
}

# Asks again while the server asks for a code, by this status and this exact text.
authenticate <- function(username, password, otp = NULL) {
  body <- list(username = username, password = password)
  if (!is.null(otp)) body$otp <- otp
  r <- POST(paste0(api, "/signin"), body = body, encode = "json")
  if (status_code(r) == 200) return(invisible(TRUE))
  said <- jsonlite::fromJSON(content(r, "text", encoding = "UTF-8"))
  if (status_code(r) == 400 && identical(said$error, "\"otp\" is required.")) {
    return(authenticate(username, password, ask()))
  }
  stop_for_status(r)
}

call <- function(method, path, ...) {
  r <- VERB(method, paste0(api, path), ...)
  stop_for_status(r)
  r
}

parsed <- function(r) jsonlite::fromJSON(content(r, "text", encoding = "UTF-8"))

# Reads an answer as the toolkit does: JSON first, whatever the status.
seen <- function(r) {
  said <- parsed(r)
  error <- if (is.list(said) && is.character(said$error)) said$error else ""
  list(status = status_code(r), type = http_type(r), error = error)
}

hash <- function(path) unname(tools::md5sum(path))

work <- function() {
  listed <- length(parsed(call("GET", "/experiments")))
  made <- parsed(call("POST", "/experiments", body = list(name = "Run R"), encode = "json"))
  at <- paste0("/experiments/", made$`_id`)
  call("GET", paste0("/experiments?query=eq%28name%2C%20%22Run%20R%22%29&limit=2"))
  path <- tempfile(fileext = ".fcs")
  block <- as.raw(rep(0:255, 4096))
  writeBin(c(charToRaw("FCS3.1"), rep(block, 8)), path)
  file <- parsed(call("POST", paste0(at, "/fcsfiles"), body = list(file = upload_file(path))))
  of <- paste0(at, "/fcsfiles/", file$`_id`)
  found <- parsed(call("GET", paste0(of, "/")))
  got <- tempfile()
  query <- "?preSubsampleN=&populationId=null"
  call("GET", paste0(of, ".FCS", query), write_disk(got))
  put <- VERB("PUT", paste0(api, at), body = list(name = "x"), encode = "json")
  call("DELETE", of)
  call("DELETE", at)
  say(listed = listed, sent = hash(path), filed = file$md5, got = hash(got), size = file$size,
      again = found$`_id` == file$`_id`, put = status_code(put))
}

task <- args[3]
rest <- args[-(1:3)]
done <- tryCatch({
  do.call(authenticate, as.list(rest[seq_len(min(3, length(rest)))]))
  if (task == "work") {
    work()
  } else if (task == "waits") {
    # Asks once more after each line of the input.
    say(ready = TRUE)
    asked <- 0
    while (length(readLines(input, n = 1)) > 0) {
      asked <- asked + 1
      answer <- seen(GET(paste0(api, "/experiments/5d38a6f79fae87499999a74b")))
      say(asked = asked, answer = answer)
    }
  } else if (task == "token") {
    # The toolkit's authenticate(token = ...) after a sign-in: the cookies of that stay.
    set_config(add_headers(Authorization = paste("Bearer", rest[4])))
    list <- GET(paste0(api, "/experiments"))
    made <- POST(paste0(api, "/experiments"), body = list(name = "x"), encode = "json")
    say(list = status_code(list), made = seen(made))
  } else {
    stop("no such task")
  }
  TRUE
}, error = function(e) {
  say(stopped = conditionMessage(e))
})
