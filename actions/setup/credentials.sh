# Sourced by a step that uses the repository: gives git the token of the job, in this step only and without a file.
if [ -n "${TOKEN:-}" ]; then
  header="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$TOKEN" | base64 | tr -d '\n')"
  echo "::add-mask::${header##* }"
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.${GITHUB_SERVER_URL}/.extraheader" GIT_CONFIG_VALUE_0="$header"
fi
unset TOKEN header
