# What the page may ask of the app, as the object `edgelm`. The WebView calls these methods on a thread of its own,
# never on the screen's; texts are JSON. What happens meanwhile waits in a queue until the page polls.
.class public Lapp/edgelm/Bridge;
.super Ljava/lang/Object;
.source "Bridge.smali"

.field private final activity:Landroid/app/Activity;
.field private final lines:Ljava/util/Queue;
.field private volatile runner:Lapp/edgelm/Runner;

.method public constructor <init>(Landroid/app/Activity;)V
    .locals 1
    invoke-direct {p0}, Ljava/lang/Object;-><init>()V
    iput-object p1, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    new-instance v0, Ljava/util/concurrent/ConcurrentLinkedQueue;
    invoke-direct {v0}, Ljava/util/concurrent/ConcurrentLinkedQueue;-><init>()V
    iput-object v0, p0, Lapp/edgelm/Bridge;->lines:Ljava/util/Queue;
    return-void
.end method

# The card that the build put beside the page.
.method public card()Ljava/lang/String;
    .locals 2
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation
    .annotation system Ldalvik/annotation/Throws;
        value = { Ljava/io/IOException; }
    .end annotation

    iget-object v0, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    invoke-virtual {v0}, Landroid/app/Activity;->getAssets()Landroid/content/res/AssetManager;
    move-result-object v0
    const-string v1, "card.json"
    invoke-virtual {v0, v1}, Landroid/content/res/AssetManager;->open(Ljava/lang/String;)Ljava/io/InputStream;
    move-result-object v0
    invoke-static {v0}, Lapp/edgelm/Files;->text(Ljava/io/InputStream;)Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# The phone: what it is, and how warm, how full and how charged it is now.
.method public phone()Ljava/lang/String;
    .locals 2
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    iget-object v0, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    invoke-static {v0}, Lapp/edgelm/Phone;->describe(Landroid/app/Activity;)Lorg/json/JSONObject;
    move-result-object v0
    invoke-virtual {v0}, Lorg/json/JSONObject;->toString()Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# The weights: where they must lie, whether they do, whether they can be read, and how large they are.
.method public weights()Ljava/lang/String;
    .locals 5
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    const-string v0, "model.gguf"
    invoke-direct {p0, v0}, Lapp/edgelm/Bridge;->outside(Ljava/lang/String;)Ljava/io/File;
    move-result-object v0
    new-instance v1, Lorg/json/JSONObject;
    invoke-direct {v1}, Lorg/json/JSONObject;-><init>()V
    const-string v2, "path"
    invoke-virtual {v0}, Ljava/io/File;->getPath()Ljava/lang/String;
    move-result-object v3
    invoke-virtual {v1, v2, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v2, "exists"
    invoke-virtual {v0}, Ljava/io/File;->exists()Z
    move-result v3
    invoke-virtual {v1, v2, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;Z)Lorg/json/JSONObject;
    const-string v2, "readable"
    invoke-virtual {v0}, Ljava/io/File;->canRead()Z
    move-result v3
    invoke-virtual {v1, v2, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;Z)Lorg/json/JSONObject;
    const-string v2, "size"
    invoke-virtual {v0}, Ljava/io/File;->length()J
    move-result-wide v3
    invoke-virtual {v1, v2, v3, v4}, Lorg/json/JSONObject;->put(Ljava/lang/String;J)Lorg/json/JSONObject;
    invoke-virtual {v1}, Lorg/json/JSONObject;->toString()Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# Begin to compute the digest of the weights; lines "checking" and at last one "checked" follow.
.method public check()V
    .locals 5
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation

    const-string v0, "model.gguf"
    invoke-direct {p0, v0}, Lapp/edgelm/Bridge;->outside(Ljava/lang/String;)Ljava/io/File;
    move-result-object v0
    iget-object v1, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    const-string v2, "digests"
    const/4 v3, 0x0
    invoke-virtual {v1, v2, v3}, Landroid/app/Activity;->getSharedPreferences(Ljava/lang/String;I)Landroid/content/SharedPreferences;
    move-result-object v1
    new-instance v2, Lapp/edgelm/Digest;
    iget-object v3, p0, Lapp/edgelm/Bridge;->lines:Ljava/util/Queue;
    invoke-direct {v2, v0, v3, v1}, Lapp/edgelm/Digest;-><init>(Ljava/io/File;Ljava/util/Queue;Landroid/content/SharedPreferences;)V
    new-instance v0, Ljava/lang/Thread;
    invoke-direct {v0, v2}, Ljava/lang/Thread;-><init>(Ljava/lang/Runnable;)V
    invoke-virtual {v0}, Ljava/lang/Thread;->start()V
    return-void
.end method

# Start the runner on the weights, and stop the one before it.
# name: of this run, told when it ends. options: a JSON list of further words of the command line.
# The answer is empty, or says why it could not be started.
.method public start(Ljava/lang/String;Ljava/lang/String;)Ljava/lang/String;
    .locals 6
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation

    invoke-virtual {p0}, Lapp/edgelm/Bridge;->stop()V

    :try_start
    invoke-direct {p0, p2}, Lapp/edgelm/Bridge;->command(Ljava/lang/String;)Ljava/util/List;
    move-result-object v0
    new-instance v1, Ljava/lang/ProcessBuilder;
    invoke-direct {v1, v0}, Ljava/lang/ProcessBuilder;-><init>(Ljava/util/List;)V

    # Errors go to a file: a pipe that nobody reads would fill up and stop the runner.
    iget-object v0, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    invoke-virtual {v0}, Landroid/app/Activity;->getCacheDir()Ljava/io/File;
    move-result-object v0
    new-instance v2, Ljava/io/File;
    const-string v3, "runner.log"
    invoke-direct {v2, v0, v3}, Ljava/io/File;-><init>(Ljava/io/File;Ljava/lang/String;)V
    invoke-virtual {v1, v2}, Ljava/lang/ProcessBuilder;->redirectError(Ljava/io/File;)Ljava/lang/ProcessBuilder;

    invoke-virtual {v1}, Ljava/lang/ProcessBuilder;->start()Ljava/lang/Process;
    move-result-object v0
    new-instance v1, Lapp/edgelm/Runner;
    iget-object v3, p0, Lapp/edgelm/Bridge;->lines:Ljava/util/Queue;
    invoke-direct {v1, p1, v0, v2, v3}, Lapp/edgelm/Runner;-><init>(Ljava/lang/String;Ljava/lang/Process;Ljava/io/File;Ljava/util/Queue;)V
    iput-object v1, p0, Lapp/edgelm/Bridge;->runner:Lapp/edgelm/Runner;
    new-instance v0, Ljava/lang/Thread;
    invoke-direct {v0, v1}, Ljava/lang/Thread;-><init>(Ljava/lang/Runnable;)V
    invoke-virtual {v0}, Ljava/lang/Thread;->start()V
    :try_end
    .catch Ljava/lang/Exception; {:try_start .. :try_end} :failed

    const-string v0, ""
    return-object v0

    :failed
    move-exception v0
    invoke-virtual {v0}, Ljava/lang/Exception;->toString()Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# The runner's command line. Android lets an app execute what lies in its native library folder, and nothing else.
.method private command(Ljava/lang/String;)Ljava/util/List;
    .locals 6
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    new-instance v0, Ljava/util/ArrayList;
    invoke-direct {v0}, Ljava/util/ArrayList;-><init>()V

    iget-object v1, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    invoke-virtual {v1}, Landroid/app/Activity;->getApplicationInfo()Landroid/content/pm/ApplicationInfo;
    move-result-object v1
    iget-object v1, v1, Landroid/content/pm/ApplicationInfo;->nativeLibraryDir:Ljava/lang/String;
    const-string v2, "/librunner.so"
    invoke-virtual {v1, v2}, Ljava/lang/String;->concat(Ljava/lang/String;)Ljava/lang/String;
    move-result-object v1
    invoke-interface {v0, v1}, Ljava/util/List;->add(Ljava/lang/Object;)Z

    const-string v1, "--model"
    invoke-interface {v0, v1}, Ljava/util/List;->add(Ljava/lang/Object;)Z
    const-string v1, "model.gguf"
    invoke-direct {p0, v1}, Lapp/edgelm/Bridge;->outside(Ljava/lang/String;)Ljava/io/File;
    move-result-object v1
    invoke-virtual {v1}, Ljava/io/File;->getPath()Ljava/lang/String;
    move-result-object v1
    invoke-interface {v0, v1}, Ljava/util/List;->add(Ljava/lang/Object;)Z

    new-instance v1, Lorg/json/JSONArray;
    invoke-direct {v1, p1}, Lorg/json/JSONArray;-><init>(Ljava/lang/String;)V
    invoke-virtual {v1}, Lorg/json/JSONArray;->length()I
    move-result v2
    const/4 v3, 0x0
    :next
    if-ge v3, v2, :end
    invoke-virtual {v1, v3}, Lorg/json/JSONArray;->getString(I)Ljava/lang/String;
    move-result-object v4
    invoke-interface {v0, v4}, Ljava/util/List;->add(Ljava/lang/Object;)Z
    add-int/lit8 v3, v3, 0x1
    goto :next

    :end
    return-object v0
.end method

# Hand one line to the runner; false if there is none.
.method public send(Ljava/lang/String;)Z
    .locals 1
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation

    iget-object v0, p0, Lapp/edgelm/Bridge;->runner:Lapp/edgelm/Runner;
    if-nez v0, :there
    const/4 v0, 0x0
    return v0
    :there
    invoke-virtual {v0, p1}, Lapp/edgelm/Runner;->send(Ljava/lang/String;)Z
    move-result v0
    return v0
.end method

# All lines since the last poll, each ended by a newline; empty if there are none.
.method public poll()Ljava/lang/String;
    .locals 4
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation

    new-instance v0, Ljava/lang/StringBuilder;
    invoke-direct {v0}, Ljava/lang/StringBuilder;-><init>()V
    iget-object v1, p0, Lapp/edgelm/Bridge;->lines:Ljava/util/Queue;
    const-string v2, "\n"

    :next
    invoke-interface {v1}, Ljava/util/Queue;->poll()Ljava/lang/Object;
    move-result-object v3
    if-eqz v3, :end
    check-cast v3, Ljava/lang/String;
    invoke-virtual {v0, v3}, Ljava/lang/StringBuilder;->append(Ljava/lang/String;)Ljava/lang/StringBuilder;
    invoke-virtual {v0, v2}, Ljava/lang/StringBuilder;->append(Ljava/lang/String;)Ljava/lang/StringBuilder;
    goto :next

    :end
    invoke-virtual {v0}, Ljava/lang/StringBuilder;->toString()Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# Stop the runner, if there is one, and forget its lines.
.method public stop()V
    .locals 2
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation

    iget-object v0, p0, Lapp/edgelm/Bridge;->runner:Lapp/edgelm/Runner;
    if-eqz v0, :none
    const/4 v1, 0x0
    iput-object v1, p0, Lapp/edgelm/Bridge;->runner:Lapp/edgelm/Runner;
    invoke-virtual {v0}, Lapp/edgelm/Runner;->stop()V
    :none
    return-void
.end method

# Keep a report beside the weights, where `adb pull` finds it. The answer is empty, or says why it could not be kept.
.method public keep(Ljava/lang/String;)Ljava/lang/String;
    .locals 1
    .annotation runtime Landroid/webkit/JavascriptInterface;
    .end annotation

    :try_start
    const-string v0, "measure.json"
    invoke-direct {p0, v0}, Lapp/edgelm/Bridge;->outside(Ljava/lang/String;)Ljava/io/File;
    move-result-object v0
    invoke-static {v0, p1}, Lapp/edgelm/Files;->write(Ljava/io/File;Ljava/lang/String;)V
    :try_end
    .catch Ljava/io/IOException; {:try_start .. :try_end} :failed

    const-string v0, ""
    return-object v0

    :failed
    move-exception v0
    invoke-virtual {v0}, Ljava/io/IOException;->toString()Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# A file in the app's folder on the outer storage, which adb reaches as /sdcard/Android/data/PACKAGE/files.
.method private outside(Ljava/lang/String;)Ljava/io/File;
    .locals 2

    iget-object v0, p0, Lapp/edgelm/Bridge;->activity:Landroid/app/Activity;
    const/4 v1, 0x0
    invoke-virtual {v0, v1}, Landroid/app/Activity;->getExternalFilesDir(Ljava/lang/String;)Ljava/io/File;
    move-result-object v0
    new-instance v1, Ljava/io/File;
    invoke-direct {v1, v0, p1}, Ljava/io/File;-><init>(Ljava/io/File;Ljava/lang/String;)V
    return-object v1
.end method
