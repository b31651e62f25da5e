# The only screen: a WebView that shows the page, and the bridge by which the page reaches the runner.
.class public Lapp/edgelm/Main;
.super Landroid/app/Activity;
.source "Main.smali"

# Whether Android took the last page's process away; the next page tells so.
.field static lost:Z

.field private bridge:Lapp/edgelm/Bridge;
.field private view:Landroid/webkit/WebView;

.method public constructor <init>()V
    .locals 0
    invoke-direct {p0}, Landroid/app/Activity;-><init>()V
    return-void
.end method

.method protected onCreate(Landroid/os/Bundle;)V
    .locals 4

    invoke-super {p0, p1}, Landroid/app/Activity;->onCreate(Landroid/os/Bundle;)V

    # A phone whose screen goes dark slows down: the screen stays on (FLAG_KEEP_SCREEN_ON).
    invoke-virtual {p0}, Landroid/app/Activity;->getWindow()Landroid/view/Window;
    move-result-object v0
    const/16 v1, 0x80
    invoke-virtual {v0, v1}, Landroid/view/Window;->addFlags(I)V

    new-instance v0, Lapp/edgelm/Bridge;
    invoke-direct {v0, p0}, Lapp/edgelm/Bridge;-><init>(Landroid/app/Activity;)V
    iput-object v0, p0, Lapp/edgelm/Main;->bridge:Lapp/edgelm/Bridge;

    new-instance v1, Landroid/webkit/WebView;
    invoke-direct {v1, p0}, Landroid/webkit/WebView;-><init>(Landroid/content/Context;)V
    iput-object v1, p0, Lapp/edgelm/Main;->view:Landroid/webkit/WebView;

    # Transparent, so that the theme's ground shows until the page is drawn.
    const/4 v2, 0x0
    invoke-virtual {v1, v2}, Landroid/webkit/WebView;->setBackgroundColor(I)V

    invoke-virtual {v1}, Landroid/webkit/WebView;->getSettings()Landroid/webkit/WebSettings;
    move-result-object v2
    const/4 v3, 0x1
    invoke-virtual {v2, v3}, Landroid/webkit/WebSettings;->setJavaScriptEnabled(Z)V
    const/4 v3, 0x0
    invoke-virtual {v2, v3}, Landroid/webkit/WebSettings;->setAllowFileAccess(Z)V
    invoke-virtual {v2, v3}, Landroid/webkit/WebSettings;->setAllowContentAccess(Z)V

    new-instance v2, Lapp/edgelm/Client;
    invoke-direct {v2, p0}, Lapp/edgelm/Client;-><init>(Lapp/edgelm/Main;)V
    invoke-virtual {v1, v2}, Landroid/webkit/WebView;->setWebViewClient(Landroid/webkit/WebViewClient;)V

    const-string v2, "edgelm"
    invoke-virtual {v1, v0, v2}, Landroid/webkit/WebView;->addJavascriptInterface(Ljava/lang/Object;Ljava/lang/String;)V

    invoke-virtual {p0, v1}, Landroid/app/Activity;->setContentView(Landroid/view/View;)V
    const-string v2, "file:///android_asset/index.html"
    invoke-virtual {v1, v2}, Landroid/webkit/WebView;->loadUrl(Ljava/lang/String;)V

    return-void
.end method

# Back leaves the app without ending it: a measurement goes on.
.method public onBackPressed()V
    .locals 1
    const/4 v0, 0x1
    invoke-virtual {p0, v0}, Landroid/app/Activity;->moveTaskToBack(Z)Z
    return-void
.end method

.method protected onDestroy()V
    .locals 1

    iget-object v0, p0, Lapp/edgelm/Main;->bridge:Lapp/edgelm/Bridge;
    if-eqz v0, :no_bridge
    invoke-virtual {v0}, Lapp/edgelm/Bridge;->stop()V
    :no_bridge

    invoke-virtual {p0}, Lapp/edgelm/Main;->dropView()V
    invoke-super {p0}, Landroid/app/Activity;->onDestroy()V
    return-void
.end method

# The page's own process is gone (see Client): stop the runner, begin again with a fresh page.
.method begin()V
    .locals 1

    const/4 v0, 0x1
    sput-boolean v0, Lapp/edgelm/Main;->lost:Z
    iget-object v0, p0, Lapp/edgelm/Main;->bridge:Lapp/edgelm/Bridge;
    invoke-virtual {v0}, Lapp/edgelm/Bridge;->stop()V
    invoke-virtual {p0}, Lapp/edgelm/Main;->dropView()V
    invoke-virtual {p0}, Landroid/app/Activity;->recreate()V
    return-void
.end method

# Take the WebView off the screen and free it; a second call does nothing.
.method dropView()V
    .locals 3

    iget-object v0, p0, Lapp/edgelm/Main;->view:Landroid/webkit/WebView;
    if-eqz v0, :dropped

    const/4 v1, 0x0
    iput-object v1, p0, Lapp/edgelm/Main;->view:Landroid/webkit/WebView;
    invoke-virtual {v0}, Landroid/webkit/WebView;->getParent()Landroid/view/ViewParent;
    move-result-object v1
    instance-of v2, v1, Landroid/view/ViewGroup;
    if-eqz v2, :no_parent
    check-cast v1, Landroid/view/ViewGroup;
    invoke-virtual {v1, v0}, Landroid/view/ViewGroup;->removeView(Landroid/view/View;)V
    :no_parent
    invoke-virtual {v0}, Landroid/webkit/WebView;->destroy()V

    :dropped
    return-void
.end method
