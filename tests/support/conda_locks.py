"""The text of a conda lock, to be filled with packages."""

CONDA = """\
version: 1
metadata:
  content_hash: {{}}
  channels: []
  platforms: [{platforms}]
  sources: [environment.yml]
package:
{packages}"""
PACKAGE = """\
- name: torch
  version: '2.5'
  manager: conda
  platform: {platform}
  dependencies: {{{needs}}}
  url: https://conda.example/lab/{platform}/torch-2.5-0.conda
  hash: {{md5: x, sha256: x}}
  category: main
  optional: false
"""
