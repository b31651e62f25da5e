# A started runner: its process, and the thread that carries its lines to the page's queue.
.class public Lapp/edgelm/Runner;
.super Ljava/lang/Object;
.implements Ljava/lang/Runnable;
.source "Runner.smali"

# Set when the page stopped it: nobody waits for its last lines.
.field volatile quiet:Z

.field private final lines:Ljava/util/Queue;
.field private final log:Ljava/io/File;
.field private final name:Ljava/lang/String;
.field private final process:Ljava/lang/Process;

# name: told when it ends, so that the page knows which runner ended. log: where the process writes its errors.
.method public constructor <init>(Ljava/lang/String;Ljava/lang/Process;Ljava/io/File;Ljava/util/Queue;)V
    .locals 0
    invoke-direct {p0}, Ljava/lang/Object;-><init>()V
    iput-object p1, p0, Lapp/edgelm/Runner;->name:Ljava/lang/String;
    iput-object p2, p0, Lapp/edgelm/Runner;->process:Ljava/lang/Process;
    iput-object p3, p0, Lapp/edgelm/Runner;->log:Ljava/io/File;
    iput-object p4, p0, Lapp/edgelm/Runner;->lines:Ljava/util/Queue;
    return-void
.end method

# Write one line to the process; false if it is gone.
.method public send(Ljava/lang/String;)Z
    .locals 3

    :try_start
    iget-object v0, p0, Lapp/edgelm/Runner;->process:Ljava/lang/Process;
    invoke-virtual {v0}, Ljava/lang/Process;->getOutputStream()Ljava/io/OutputStream;
    move-result-object v0
    const-string v1, "\n"
    invoke-virtual {p1, v1}, Ljava/lang/String;->concat(Ljava/lang/String;)Ljava/lang/String;
    move-result-object v1
    const-string v2, "UTF-8"
    invoke-virtual {v1, v2}, Ljava/lang/String;->getBytes(Ljava/lang/String;)[B
    move-result-object v1
    invoke-virtual {v0, v1}, Ljava/io/OutputStream;->write([B)V
    invoke-virtual {v0}, Ljava/io/OutputStream;->flush()V
    :try_end
    .catch Ljava/io/IOException; {:try_start .. :try_end} :gone

    const/4 v0, 0x1
    return v0

    :gone
    move-exception v0
    const/4 v0, 0x0
    return v0
.end method

# End the process at once: it has nothing to save.
.method public stop()V
    .locals 1
    const/4 v0, 0x1
    iput-boolean v0, p0, Lapp/edgelm/Runner;->quiet:Z
    iget-object v0, p0, Lapp/edgelm/Runner;->process:Ljava/lang/Process;
    invoke-virtual {v0}, Ljava/lang/Process;->destroyForcibly()Ljava/lang/Process;
    return-void
.end method

# The thread: lines as they come, then how it ended.
.method public run()V
    .locals 5

    :read_start
    iget-object v0, p0, Lapp/edgelm/Runner;->process:Ljava/lang/Process;
    invoke-virtual {v0}, Ljava/lang/Process;->getInputStream()Ljava/io/InputStream;
    move-result-object v0
    new-instance v1, Ljava/io/InputStreamReader;
    const-string v2, "UTF-8"
    invoke-direct {v1, v0, v2}, Ljava/io/InputStreamReader;-><init>(Ljava/io/InputStream;Ljava/lang/String;)V
    new-instance v0, Ljava/io/BufferedReader;
    invoke-direct {v0, v1}, Ljava/io/BufferedReader;-><init>(Ljava/io/Reader;)V

    :next
    invoke-virtual {v0}, Ljava/io/BufferedReader;->readLine()Ljava/lang/String;
    move-result-object v1
    if-eqz v1, :closed
    iget-boolean v2, p0, Lapp/edgelm/Runner;->quiet:Z
    if-nez v2, :next
    iget-object v2, p0, Lapp/edgelm/Runner;->lines:Ljava/util/Queue;
    invoke-interface {v2, v1}, Ljava/util/Queue;->add(Ljava/lang/Object;)Z
    goto :next
    :read_end
    .catch Ljava/io/IOException; {:read_start .. :read_end} :torn

    # A stream torn by the end of the process says no more than its end does.
    :torn
    move-exception v0

    :closed
    :wait_start
    iget-object v0, p0, Lapp/edgelm/Runner;->process:Ljava/lang/Process;
    invoke-virtual {v0}, Ljava/lang/Process;->waitFor()I
    move-result v0
    :wait_end
    .catch Ljava/lang/InterruptedException; {:wait_start .. :wait_end} :nobody
    iget-boolean v1, p0, Lapp/edgelm/Runner;->quiet:Z
    if-nez v1, :over

    :tell_start
    new-instance v1, Lorg/json/JSONObject;
    invoke-direct {v1}, Lorg/json/JSONObject;-><init>()V
    const-string v2, "code"
    invoke-virtual {v1, v2, v0}, Lorg/json/JSONObject;->put(Ljava/lang/String;I)Lorg/json/JSONObject;
    const-string v2, "run"
    iget-object v3, p0, Lapp/edgelm/Runner;->name:Ljava/lang/String;
    invoke-virtual {v1, v2, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v2, "log"
    iget-object v3, p0, Lapp/edgelm/Runner;->log:Ljava/io/File;
    invoke-static {v3}, Lapp/edgelm/Files;->tail(Ljava/io/File;)Ljava/lang/String;
    move-result-object v3
    invoke-virtual {v1, v2, v3}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    const-string v2, "ended"
    iget-object v3, p0, Lapp/edgelm/Runner;->lines:Ljava/util/Queue;
    invoke-static {v3, v2, v1}, Lapp/edgelm/Files;->tell(Ljava/util/Queue;Ljava/lang/String;Lorg/json/JSONObject;)V
    :tell_end
    .catch Lorg/json/JSONException; {:tell_start .. :tell_end} :nobody

    :over
    return-void

    :nobody
    move-exception v0
    return-void
.end method
