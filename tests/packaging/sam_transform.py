"""`python sam_transform.py TEMPLATE LAYER [NAME=VALUE ...]`: SAM's transform, as CloudFormation runs it.

Prints the stack in which the layer was packaged under the name LAYER.
Runs beside aws-sam-cli and without AWS, so it imports nothing of ours.
"""

# mypy: ignore-errors
# the types of SAM's packages are not at hand where ours are checked
import json
import sys
from pathlib import Path

import boto3
from samcli.yamlhelper import yaml_parse
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def main() -> None:
    """Transforms the template with its default parameters and those given."""
    template = yaml_parse(Path(sys.argv[1]).read_text())
    for resource in template["Resources"].values():
        if "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = "s3://packaged/function"
        if "ContentUri" in resource["Properties"]:
            resource["Properties"]["ContentUri"] = f"s3://packaged/{sys.argv[2]}"
    given = dict(argument.split("=", 1) for argument in sys.argv[3:])
    parameters = {name: given.get(name, str(entry["Default"])) for name, entry in template["Parameters"].items()}
    session = boto3.Session(region_name="eu-west-1")
    try:
        stack = Translator({}, Parser(), boto_session=session).translate(template, parameters)
    except InvalidDocumentException as error:
        sys.exit("; ".join(cause.message for cause in error.causes))
    sys.stdout.write(json.dumps(stack))


if __name__ == "__main__":
    main()
