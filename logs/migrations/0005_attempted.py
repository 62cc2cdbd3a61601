"""The newest update of a customer that may have been delivered, whether or not an outcome was recorded."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0004_names")]
    operations = [migrations.AddField("customerstate", "attempted", models.DateTimeField(null=True))]
