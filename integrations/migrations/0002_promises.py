"""Limits, versions, labels and brands that hold by every way in: triggers, in SQL beside this file."""

from pathlib import Path

from django.db import migrations

FUNCTIONS = (
    "integrations_at_most_fifty, integrations_one_brand, integrations_stays, integrations_new_version, "
    "integrations_mapping_rules, integrations_destination_rules, integrations_source_rules, integrations_label, "
    "integrations_forget"
)


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial"), ("logs", "0001_initial")]
    operations = [
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text(), f"DROP FUNCTION {FUNCTIONS} CASCADE")
    ]
