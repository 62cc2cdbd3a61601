"""The most events a second that a brand may send in."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0002_promises")]
    operations = [
        migrations.AddField(
            model_name="brand",
            name="events_per_second",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="The most this brand's senders may bring in on average, set by operators. What comes beyond is answered 429 with the time to wait, and is not kept: Segment's libraries send it again. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="events per second",
            ),
        ),
        migrations.AddConstraint(
            model_name="brand",
            constraint=models.CheckConstraint(
                condition=models.Q(events_per_second__gte=1), name="brand_limit_is_positive"
            ),
        ),
    ]
