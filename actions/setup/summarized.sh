# Sourced by a step: `summarized COMMAND` writes the output of a command into the log and into the summary of the run.
summarized() {
  local output code=0
  output="$("$@" 2>&1)" || code=$?
  printf '```\n%s\n```\n' "$output" | tee -a "$GITHUB_STEP_SUMMARY"
  return "$code"
}
