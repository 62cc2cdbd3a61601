"""Why somebody did what the audit says."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0004_terms")]
    operations = [
        migrations.AddField(
            model_name="auditentry",
            name="reason",
            field=models.TextField(default="", verbose_name="because"),
        ),
    ]
