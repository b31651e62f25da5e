# What the WebView asks its host: where links may lead (nowhere), and what to do when its own process ends.
.class public Lapp/edgelm/Client;
.super Landroid/webkit/WebViewClient;
.source "Client.smali"

.field private final main:Lapp/edgelm/Main;

.method public constructor <init>(Lapp/edgelm/Main;)V
    .locals 0
    invoke-direct {p0}, Landroid/webkit/WebViewClient;-><init>()V
    iput-object p1, p0, Lapp/edgelm/Client;->main:Lapp/edgelm/Main;
    return-void
.end method

# The page has no links; were there one, it would not be followed.
.method public shouldOverrideUrlLoading(Landroid/webkit/WebView;Landroid/webkit/WebResourceRequest;)Z
    .locals 1
    const/4 v0, 0x1
    return v0
.end method

# When memory is short Android ends the page's process. Without an answer here it would end the whole app.
.method public onRenderProcessGone(Landroid/webkit/WebView;Landroid/webkit/RenderProcessGoneDetail;)Z
    .locals 1
    iget-object v0, p0, Lapp/edgelm/Client;->main:Lapp/edgelm/Main;
    invoke-virtual {v0}, Lapp/edgelm/Main;->begin()V
    const/4 v0, 0x1
    return v0
.end method
