# Sourced by a step whose reader wants one page: what a command says goes into the log and into the summary of the run.
said() {
  local words code=0
  words="$("$@" 2>&1)" || code=$?
  printf '```\n%s\n```\n' "$words" | tee -a "$GITHUB_STEP_SUMMARY"
  return "$code"
}
