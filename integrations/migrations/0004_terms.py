"""Pauses, limits and schedules; routing learns of a mapping's order."""

import datetime

import django.core.validators
from django.db import migrations, models

RULES = """
DROP TRIGGER rules_change ON integrations_mapping;
CREATE TRIGGER rules_change AFTER UPDATE ON integrations_mapping FOR EACH ROW
    WHEN ((NEW.source_id, NEW.destination_id, NEW.version_id, NEW.enabled, NEW.ordered)
          IS DISTINCT FROM (OLD.source_id, OLD.destination_id, OLD.version_id, OLD.enabled, OLD.ordered))
    EXECUTE FUNCTION integrations_mapping_rules();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0003_brand_limit"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="limits",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text='Requests a minute where the vendor allows this account another number than is usual: {"requests": 3000}.',
            ),
        ),
        migrations.AddField(
            model_name="destination",
            name="retry_days",
            field=models.PositiveSmallIntegerField(
                default=14,
                help_text="How long after it was received an event is still tried, from 1 to 30 days.",
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(30)],
                verbose_name="given up after days",
            ),
        ),
        migrations.AddField(
            model_name="destination",
            name="retry_every",
            field=models.CharField(
                default="12 h", help_text="The wait after all of these.", max_length=20, verbose_name="then every"
            ),
        ),
        migrations.AddField(
            model_name="destination",
            name="retry_waits",
            field=models.CharField(
                default="5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, 8 h",
                help_text="The waits between one attempt and the next when the vendor fails or does not answer; each is made up to a fifth shorter or longer, and never shorter than the vendor asks for.",
                max_length=200,
                verbose_name="tried again after",
            ),
        ),
        migrations.AddField(
            model_name="mapping",
            name="first_run",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Send so many and then wait until you say “go on”, by emptying this. Empty: no first run.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="first run",
            ),
        ),
        migrations.AddField(
            model_name="mapping",
            name="first_run_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="mapping",
            name="hourly_limit",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Events sent in one hour; what comes beyond is held until the next hour. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="at most in an hour",
            ),
        ),
        migrations.AddField(
            model_name="mapping",
            name="max_age",
            field=models.DurationField(
                blank=True,
                help_text="For what must not come late, such as 02:00:00 for two hours after it was received. Empty: it is tried for as long as the destination's schedule says.",
                null=True,
                validators=[django.core.validators.MinValueValidator(datetime.timedelta(seconds=1))],
                verbose_name="too old after",
            ),
        ),
        migrations.AddField(
            model_name="mapping",
            name="once_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="A customer for whom something was sent in so many days is held back. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="once per customer in days",
            ),
        ),
        migrations.AddField(
            model_name="mapping",
            name="ordered",
            field=models.BooleanField(
                default=False,
                help_text="Each customer's events one after the other, as they came: the next one only when the one before is finished. Slower, and one event that keeps failing holds up the customer's others.",
                verbose_name="strictly in order",
            ),
        ),
        migrations.AddField(
            model_name="mapping",
            name="paused",
            field=models.BooleanField(
                default=False, help_text="Events are still matched; what they would send waits until you resume."
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="paused",
            field=models.BooleanField(
                default=False,
                help_text="Events are still taken in and matched; what they would send waits until you resume.",
            ),
        ),
        migrations.RunSQL(RULES),
    ]
