"""Which view answers what."""

from django.urls import include, path

from . import views

urlpatterns = [
    path("accounts", views.Accounts.as_view()),
    path("accounts/<account_id>", views.show),
    path("accounts/<account_id>/deposits", views.deposit),
    path("accounts/<account_id>/withdrawals", views.withdraw),
    path("ops/", include("hitherto.django.urls")),
]
