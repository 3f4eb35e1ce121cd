"""Blinding inside the server: a reader gets at nothing of a project outside his own organisation.

The community edition filters lists by organisation, but lets anyone who is logged in open a single project,
task or annotation by its number: it takes for granted that there is one organisation only. Projects, tasks,
annotations, drafts, predictions, storages and files all ask their project, so one answer closes them.
"""

from projects.mixins import ProjectMixin  # pyright: ignore[reportMissingImports]


class BlindedProject(ProjectMixin):
    """Asked by the server before anything of a project is shown or changed."""

    def has_permission(self, user):
        """Tell whether the user is a member of the project's organisation."""
        return super().has_permission(user) and bool(self.organization_id and self.organization.has_permission(user))
